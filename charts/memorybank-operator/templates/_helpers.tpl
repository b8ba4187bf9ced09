{{- define "operator.labels" -}}
app.kubernetes.io/name: memorybank-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: memorybank-operator
{{- end }}

{{- define "operator.defaults" -}}
memorybank-operator-defaults
{{- end }}

{{- /*
The rules on namespaced objects, for the whole cluster or for each namespace served. Exactly what the operator does: a
test compares them with what the API server saw it do. Server-side apply is a patch, and a create where nothing is yet.
*/ -}}
{{- define "operator.rules" -}}
- apiGroups: [memorybank.dev]
  resources: [memorybankkeys, memorybankrestores]
  verbs: [list, watch]
# The finalizer of a bank with deletionPolicy Snapshot is put there, and taken away.
- apiGroups: [memorybank.dev]
  resources: [memorybanks]
  verbs: [list, watch, patch]
# By spec.backup.points one is made, and removed when its recovery point has expired.
- apiGroups: [memorybank.dev]
  resources: [memorybankbackups]
  verbs: [list, watch, create, delete]
- apiGroups: [memorybank.dev]
  resources: [memorybanks/status, memorybankkeys/status, memorybankbackups/status, memorybankrestores/status]
  verbs: [patch]
# They go by themselves, or with what they are for.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create]
- apiGroups: [""]
  resources: [serviceaccounts, configmaps, secrets, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# No delete: data is never the operator's to delete. Under deletionPolicy Delete the garbage collector does it.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
- apiGroups: [postgresql.cnpg.io]
  resources: [clusters]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "operator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
