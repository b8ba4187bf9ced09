{{- define "memorybank.labels" -}}
{{- $labels := dict "app.kubernetes.io/managed-by" .root.Release.Service "app.kubernetes.io/part-of" .root.Release.Name "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) }}
{{- toYaml (merge (deepCopy (default dict .tenant.labels)) .root.Values.labels $labels) }}
{{- end }}

{{- /* Where a tenant is reached from outside of the cluster; empty for nowhere. */}}
{{- define "memorybank.host" -}}
{{- if .tenant.domain }}{{ .tenant.domain }}
{{- else if .root.Values.ingress.domain }}{{ .tenant.id }}.{{ .root.Values.ingress.domain }}
{{- end }}
{{- end }}

{{- /* The spec of a tenant's bank: what all share, then what the values say of it, then its own spec. */}}
{{- define "memorybank.spec" -}}
{{- $values := .root.Values }}
{{- $spec := deepCopy $values.spec }}
{{- $volume := dict }}
{{- $persistence := merge (deepCopy (default dict .tenant.persistence)) $values.persistence }}
{{- with $persistence.size }}{{ $_ := set $volume "size" . }}{{ end }}
{{- with $persistence.storageClass }}{{ $_ := set $volume "storageClassName" . }}{{ end }}
{{- if $volume }}{{ $spec = mustMergeOverwrite $spec (dict "storage" (dict "volume" $volume)) }}{{ end }}
{{- with merge (deepCopy (default dict .tenant.resources)) $values.resources }}
{{- $spec = mustMergeOverwrite $spec (dict "resources" .) }}
{{- end }}
{{- with merge (deepCopy (default dict .tenant.autoscaling)) $values.autoscaling }}
{{- $spec = mustMergeOverwrite $spec (dict "autoscaling" .) }}
{{- end }}
{{- $host := include "memorybank.host" . }}
{{- if and $host (dig "ingress" "enabled" $values.ingress.enabled .tenant) }}
{{- $ingress := dict "host" $host }}
{{- with $values.ingress.className }}{{ $_ := set $ingress "className" . }}{{ end }}
{{- with $values.ingress.annotations }}{{ $_ := set $ingress "annotations" . }}{{ end }}
{{- with $values.ingress.tls }}{{ $_ := set $ingress "tls" . }}{{ end }}
{{- $spec = mustMergeOverwrite $spec (dict "expose" (dict "ingress" $ingress)) }}
{{- end }}
{{- toYaml (mustMergeOverwrite $spec (deepCopy (default dict .tenant.spec))) }}
{{- end }}
