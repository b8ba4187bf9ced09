-- Reads the conditions of kstatus (Reconciling, Stalled, Ready) for the newest generation. Argo CD itself answers for
-- what is being deleted.
local health = {status = "Progressing", message = "Waiting for the operator"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, each in ipairs(obj.status.conditions or {}) do
  conditions[each.type] = each
end

local ready = conditions.Ready
if ready == nil then
  return health
end
health.message = ready.message
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  health.status = "Degraded"
elseif ready.status == "True" then
  health.status = "Healthy"
  if conditions.Expiring ~= nil and conditions.Expiring.status == "True" then
    health.message = conditions.Expiring.message
  end
end
return health
