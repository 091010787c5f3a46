{{/*
celery.ruleSources: where the numbers come from that rules read, and whether this release has them, as JSON: "" or what to
write to have them. A rule group's name ends in the sources that it needs, joined by +.
Params: the root context.
*/}}
{{- define "celery.ruleSources" -}}
{{- $engines := list -}}
{{- range include "celery.workerGroups" . | fromJson }}{{ $engines = append $engines .autoscaling.engine }}{{ end -}}
{{- $scaled := without $engines "none" -}}
{{- dict
  "exporter" (include "celery.ownExporter" . | empty | ternary "exporter.enabled: true and exporter.kind: own" "")
  "workers" (include "celery.hasMetrics" . | empty | ternary "metrics.enabled: true" "")
  "beat" (.Values.beat.enabled | ternary "" "beat.enabled: true")
  "kubernetes" (.Values.monitoring.kubeStateMetrics | ternary "" "monitoring.kubeStateMetrics: true")
  "autoscaler" ($scaled | empty | ternary "an autoscaling.engine for a worker group" "")
  "keda" (and .Values.monitoring.keda (has "keda" $scaled) | ternary "" "monitoring.keda: true and autoscaling.engine: keda for a worker group")
  | toJson -}}
{{- end -}}

{{/*
celery.rules: the rule groups of files/rules for this release alone, as JSON: `groups`, and `left`, a list of {alerts, write}
of those whose numbers nothing tells.
The files are plain Prometheus rules for any namespace. Here a matcher that every selector has becomes the release's:
namespace=~".*" for its own pages, namespace=~".+" for what Kubernetes and KEDA tell about its objects, which begin with its
name instead of .*celery-. The label app_kubernetes_io_instance tells two releases in one namespace apart; a Prometheus that
does not put it on (podTargetLabels of the monitors, the labelmap of annotations) takes both for one.
Params: the root context.
*/}}
{{- define "celery.rules" -}}
{{- $namespace := printf "namespace=%q" .Release.Namespace -}}
{{- $own := printf "%s, app_kubernetes_io_instance=~%q" $namespace (printf "%s|" .Release.Name) -}}
{{- $sources := include "celery.ruleSources" . | fromJson -}}
{{- $groups := list -}}{{- $left := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- $text := $.Files.Get $path | replace `namespace=~".*"` $own | replace `namespace=~".+"` $namespace -}}
{{- $text = $text | replace ".*celery-" (printf "%s-" (include "celery.fullname" $)) -}}
{{- with $.Values.monitoring.runbookUrl }}{{ $text = $text | replace "docs/runbook.md" . }}{{ end -}}
{{- with $.Values.monitoring.grafanaUrl }}{{ $text = $text | replace "dashboard_url: /d/" (printf "dashboard_url: %s/d/" (trimSuffix "/" .)) }}{{ end -}}
{{- range $group := ($text | fromYaml).groups -}}
{{- $missing := list -}}
{{- range $source := splitList "." $group.name | last | splitList "+" }}{{ $missing = append $missing (get $sources $source) }}{{ end -}}
{{- $alerts := list -}}
{{- range $rule := $group.rules -}}
{{- $_ := set $rule "labels" (merge (dict "app_kubernetes_io_instance" $.Release.Name) ($rule.labels | default dict)) -}}
{{- with $rule.alert }}{{ $alerts = append $alerts . }}{{ end -}}
{{- end -}}
{{- with $missing | compact -}}
{{- $left = append $left (dict "alerts" $alerts "write" (join ", and " .)) -}}
{{- else -}}
{{- $groups = append $groups $group -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "groups" $groups "left" $left | toJson -}}
{{- end -}}
