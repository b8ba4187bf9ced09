local os = require("os")
-- Nobody owns it: a recovery point outlives its bank. Nor has it the labels of the bank, by which Argo CD would prune it.
local point = {
  apiVersion = obj.apiVersion,
  kind = "MemoryBankBackup",
  metadata = {
    name = obj.metadata.name .. "-" .. os.date("!%Y%m%d-%H%M%S"),
    namespace = obj.metadata.namespace,
  },
  spec = {bank = {name = obj.metadata.name}, expireAfter = "720h"},
}
return {{operation = "create", resource = point}}
