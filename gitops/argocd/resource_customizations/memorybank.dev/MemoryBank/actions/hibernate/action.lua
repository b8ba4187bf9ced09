obj.spec.hibernate = true
return obj
