{{/*
celery.scalingBehavior: up at once, down slowly: a pod that is taken away too early has to drain and comes back cold.
Params: none.
*/}}
{{- define "celery.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 15}
    - {type: Pods, value: 4, periodSeconds: 15}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}

{{/*
celery.workFormula: the sum of a group's triggers.
Params: the group.
*/}}
{{- define "celery.workFormula" -}}
{{- range $i, $_ := .queues }}ready{{ $i }} + {{ end }}inflight
{{- end -}}

{{/*
celery.tasksPerPod: how much work one pod is for: its slots, as far as they shall be used.
Params: the group.
*/}}
{{- define "celery.tasksPerPod" -}}
{{- $slots := eq .pool "solo" | ternary 1 (.concurrency | int) -}}
{{- max 1 (div (mul $slots (.autoscaling.targetUtilisationPercent | int)) 100) -}}
{{- end -}}

{{/*
celery.redisTrigger: a KEDA trigger that reads the length of a key, list or hash.
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
