{{- define "operator.labels" -}}
app.kubernetes.io/name: memorybank-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: memorybank-operator
{{- end }}

{{- /* The rules on namespaced objects, for the whole cluster or for each namespace served. */ -}}
{{- define "operator.rules" -}}
- apiGroups: [memorybank.dev]
  resources: [memorybanks]
  verbs: [get, list, watch]
- apiGroups: [memorybank.dev]
  resources: [memorybanks/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [serviceaccounts, configmaps, secrets, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
