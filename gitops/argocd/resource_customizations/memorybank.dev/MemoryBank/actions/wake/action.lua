obj.spec.hibernate = false
return obj
