{{/*
monitoring.counted: the kinds that kube-state-metrics tells of, with their API groups: those that rules and dashboards read.
Each further one would want a right, and memory.
*/}}
{{- define "monitoring.counted" -}}
{{- dict "deployments" "apps" "horizontalpodautoscalers" "autoscaling" "pods" "" | toJson -}}
{{- end -}}
