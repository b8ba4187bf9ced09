local actions = {}
local restored = false
for _, each in ipairs((obj.status or {}).conditions or {}) do
  restored = restored or each.type == "Complete" and each.status == "True" and each.reason == "Restored"
end
local possible = restored and not obj.spec.rollback
actions["rollback"] = {disabled = not possible, displayName = "Put back what was there before", iconClass = "fa fa-fw fa-undo"}
return actions
