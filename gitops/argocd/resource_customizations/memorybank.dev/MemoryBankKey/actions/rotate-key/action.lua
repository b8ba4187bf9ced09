local os = require("os")
-- Any new text replaces the key once; status.rotation.request echoes it when that is done.
obj.spec.rotation = obj.spec.rotation or {}
obj.spec.rotation.request = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
