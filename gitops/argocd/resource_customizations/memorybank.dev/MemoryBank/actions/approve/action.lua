if obj.status == nil or obj.status.plan == nil then
  error("no change of this bank waits for approval")
end
obj.spec.updatePolicy = obj.spec.updatePolicy or {}
obj.spec.updatePolicy.approved = obj.status.plan.id
return obj
