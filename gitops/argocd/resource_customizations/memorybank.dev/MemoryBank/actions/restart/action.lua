local os = require("os")
-- Any new text restarts the pod once.
obj.spec.restart = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
