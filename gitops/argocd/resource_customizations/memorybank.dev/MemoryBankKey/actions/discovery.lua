local actions = {}
actions["rotate-key"] = {displayName = "Rotate the key", iconClass = "fa fa-fw fa-key"}
return actions
