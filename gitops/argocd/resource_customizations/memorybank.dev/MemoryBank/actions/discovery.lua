local actions = {}
local paused = obj.spec.paused == true
local asleep = obj.spec.hibernate == true
local status = obj.status or {}
local waits = false
for _, each in ipairs(status.conditions or {}) do
  waits = waits or each.type == "UpdatePending" and each.reason == "AwaitingApproval"
end
-- What serves, or has served, is at a destination if backups are asked for.
local kept = obj.spec.backup ~= nil and status.backup ~= nil

actions["suspend"] = {disabled = paused, displayName = "Suspend reconciliation", iconClass = "fa fa-fw fa-pause-circle"}
actions["resume"] = {disabled = not paused, displayName = "Resume reconciliation", iconClass = "fa fa-fw fa-play-circle"}
actions["hibernate"] = {disabled = asleep, displayName = "Hibernate", iconClass = "fa fa-fw fa-moon"}
actions["wake"] = {disabled = not asleep, displayName = "Wake", iconClass = "fa fa-fw fa-sun"}
actions["restart"] = {disabled = asleep or paused, displayName = "Restart", iconClass = "fa fa-fw fa-redo"}
actions["approve"] = {disabled = not waits, displayName = "Approve the plan", iconClass = "fa fa-fw fa-check"}
actions["backup"] = {disabled = not kept, displayName = "Take a recovery point", iconClass = "fa fa-fw fa-save"}
actions["verify"] = {disabled = not kept, displayName = "Try the backups", iconClass = "fa fa-fw fa-stethoscope"}
return actions
