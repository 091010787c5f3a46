{{/*
monitoring.dashboards: the last words of helm/celery's ConfigMaps of dashboards, as a JSON list; a volume must name each.
*/}}
{{- define "monitoring.dashboards" -}}
{{- list "beat" "broker" "overview" "queue" "task" "workers" | toJson -}}
{{- end -}}
