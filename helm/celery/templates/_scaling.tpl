{{/*
celery.waitingKeys: the keys, without prefix, of what waits in a group's queues, as a JSON list: one for each queue, or
with priorities four.
Params: list of root context and group.   Usage: {{ range include "celery.waitingKeys" (list $ $group) | fromJsonArray }}
*/}}
{{- define "celery.waitingKeys" -}}
{{- $priorities := (index . 0).Values.app.priorities -}}
{{- $keys := list -}}
{{- range $queue := (index . 1).queues -}}
  {{- $keys = append $keys $queue -}}
  {{- if $priorities.enabled -}}
    {{- range $step := list 3 6 9 }}{{ $keys = append $keys (printf "%s%s%d" $queue $priorities.separator $step) }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- toJson $keys -}}
{{- end -}}

{{/*
celery.workFormula: a group's work, from the names of its triggers: what waits and what is in workers' hands, without what
they hold until its eta. While they hold any, it is no less than one task, for a fleet of none would drop it back.
Params: list of root context and group.
*/}}
{{- define "celery.workFormula" -}}
max({{ range $i, $_ := include "celery.waitingKeys" . | fromJsonArray }}ready{{ $i }} + {{ end }}inflight - held, min(held, 1))
{{- end -}}

{{/*
celery.slots: tasks at a time in one pod.
Params: the group.
*/}}
{{- define "celery.slots" -}}
{{- eq .pool "solo" | ternary 1 (.concurrency | int) -}}
{{- end -}}

{{/*
celery.tasksPerPod: how much work one pod is for: its slots, as far as they shall be used.
Params: the group.
*/}}
{{- define "celery.tasksPerPod" -}}
{{- max 1 (div (mul (include "celery.slots" . | int) (.autoscaling.targetUtilisationPercent | int)) 100) -}}
{{- end -}}

{{/*
celery.redisTrigger: a KEDA trigger that reads the length of a key: list, hash or sorted set.
Params: list of root context, name of the TriggerAuthentication (empty: none), trigger name and key without prefix.
*/}}
{{- define "celery.redisTrigger" -}}
{{- $root := index . 0 -}}
{{- $sentinel := $root.Values.broker.external.sentinel -}}
type: {{ $sentinel.hosts | empty | ternary "redis" "redis-sentinel" }}
name: {{ index . 2 }}
metadata:
  {{- if $sentinel.hosts }}
  addresses: {{ join "," $sentinel.hosts | quote }}
  sentinelMaster: {{ $sentinel.masterName | quote }}
  {{- else }}
  address: {{ printf "%s:%s" (include "celery.brokerHost" $root) (include "celery.brokerPort" $root) }}
  {{- end }}
  {{- with include "celery.scalerUser" $root }}
  username: {{ . | quote }}
  {{- end }}
  databaseIndex: {{ $root.Values.broker.databases.broker | int | quote }}
  listName: {{ printf "%s%s" (include "celery.keyPrefix" $root) (index . 3) | quote }}
  # The target is that of the sum; a trigger must have one.
  listLength: "1"
  {{- if include "celery.brokerTLS" $root }}
  enableTLS: "true"
  {{- end }}
{{- with index . 1 }}
authenticationRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{/*
celery.latencyTrigger: a KEDA trigger that reads from the exporter how many slots start each task in time.
Params: list of root context, group name and group.
*/}}
{{- define "celery.latencyTrigger" -}}
{{- $root := index . 0 -}}{{- $group := index . 2 -}}
type: metrics-api
name: slots
metricType: AverageValue
metadata:
  url: {{ printf "http://%s.%s.svc:%d/metrics" (include "celery.componentName" (list $root "exporter")) $root.Release.Namespace ($root.Values.exporter.service.port | int) | quote }}
  format: prometheus
  valueLocation: {{ printf "celery_group_slots_wanted{group=%q}" (index . 1) | quote }}
  targetValue: {{ include "celery.tasksPerPod" $group | quote }}
  activationTargetValue: {{ $group.autoscaling.activationTasks | int | quote }}
{{- end -}}
