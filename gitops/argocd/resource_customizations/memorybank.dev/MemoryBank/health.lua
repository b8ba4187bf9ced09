-- Reads the conditions of kstatus (Reconciling, Stalled, Ready) for the newest generation, as kubectl wait, Flux and
-- Helm do. status.phase is for people. Argo CD itself answers for what is being deleted.
local health = {status = "Progressing", message = "Waiting for the operator"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, each in ipairs(obj.status.conditions or {}) do
  conditions[each.type] = each
end

local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local ready = conditions.Ready
if ready == nil then
  return health
end
health.message = ready.message

if holds("Paused") then
  health.status = "Suspended"
  health.message = conditions.Paused.message
elseif holds("Stalled") then
  health.status = "Degraded"
  health.message = conditions.Stalled.message
elseif holds("Reconciling") then
  health.message = conditions.Reconciling.message
elseif ready.status == "True" then
  health.status = "Healthy"
  -- What a bank that serves has trouble with is shown, and keeps nothing that is applied after it waiting.
  if holds("Degraded") then
    health.message = conditions.Degraded.message
  else
    for _, kind in ipairs({"BackupHealthy", "CopiesHealthy", "BackupVerified", "Following"}) do
      if conditions[kind] ~= nil and conditions[kind].status == "False" then
        health.message = conditions[kind].message
        break
      end
    end
  end
elseif obj.spec.hibernate or obj.spec.replicas == 0 or holds("UpdatePending") then
  -- Somebody asked for it, and it lasts until somebody asks for something else.
  health.status = "Suspended"
elseif ready.status == "False" then
  health.status = "Degraded"
end
return health
