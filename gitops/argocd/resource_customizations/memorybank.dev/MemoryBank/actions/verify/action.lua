local os = require("os")
-- Restores the newest state into a pod of its own and searches it there; the bank is left alone.
local trial = {
  apiVersion = obj.apiVersion,
  kind = "MemoryBankRestore",
  metadata = {
    name = obj.metadata.name .. "-check-" .. os.date("!%Y%m%d-%H%M%S"),
    namespace = obj.metadata.namespace,
  },
  spec = {bank = {name = obj.metadata.name}, latest = true, check = true},
}
return {{operation = "create", resource = trial}}
