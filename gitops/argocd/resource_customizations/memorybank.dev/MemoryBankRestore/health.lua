-- Reads the conditions of kstatus (Reconciling, Stalled) and Complete for the newest generation. Argo CD itself answers
-- for what is being deleted.
local health = {status = "Progressing", message = "Waiting for the operator"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, each in ipairs(obj.status.conditions or {}) do
  conditions[each.type] = each
end

local complete = conditions.Complete
if complete == nil then
  return health
end
health.message = complete.message
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  health.status = "Degraded"
elseif conditions.Reconciling == nil or conditions.Reconciling.status ~= "True" then
  -- It is done: complete, or over as was asked for (expired, or rolled back).
  health.status = "Healthy"
end
return health
