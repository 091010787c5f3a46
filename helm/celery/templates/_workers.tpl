{{/*
celery.workerGroups: workers.groups with workers.defaults folded in, as JSON; with the example, its groups too.
Params: the root context.   Usage: {{ range $name, $group := include "celery.workerGroups" . | fromJson }}
*/}}
{{- define "celery.workerGroups" -}}
{{- $groups := dict -}}
{{- $own := deepCopy .Values.workers.groups -}}
{{- if include "celery.isExample" . -}}
  {{- $own = mustMergeOverwrite (deepCopy .Values.workers.exampleGroups) $own -}}
{{- else if not $own -}}
  {{- $own = dict "default" (dict "queues" (list "celery")) -}}
{{- end -}}
{{- range $name, $group := $own -}}
  {{- $_ := set $groups $name (mustMergeOverwrite (deepCopy $.Values.workers.defaults) $group) -}}
{{- end -}}
{{- toJson $groups -}}
{{- end -}}

{{/*
celery.graceSeconds: how long a worker may take to end its tasks: the longest task, or the soft shutdown where the group
has one, and 30 s for what follows it.
Params: the group.
*/}}
{{- define "celery.graceSeconds" -}}
{{- add (.softShutdownSeconds | default .timeLimitSeconds | int) 30 -}}
{{- end -}}

{{/*
celery.workerMemoryMiB: memory that a worker needs at least, measured as proportional set size: the main process and
each pool process (an application that imports more needs more), or what a pool process is allowed to grow to.
Params: the group.
*/}}
{{- define "celery.workerMemoryMiB" -}}
{{- $each := .maxMemoryPerChildMiB | default 48 | int -}}
{{- if eq .pool "prefork" }}{{ add 64 (mul $each (.concurrency | int)) }}{{ else }}96{{ end -}}
{{- end -}}

{{/*
celery.workerResources: resources of a group; memory follows from pool and concurrency unless it is given.
Params: the group.
*/}}
{{- define "celery.workerResources" -}}
{{- $need := include "celery.workerMemoryMiB" . | int -}}
{{- $requests := .resources.requests | default dict -}}
{{- $asked := include "celery.mebibytes" (get $requests "memory" | default "0") | int -}}
{{- $limits := merge (dict) (.resources.limits | default dict) (dict "memory" (printf "%dMi" (max (mul 2 $need) $asked))) -}}
{{- $requests = merge (dict) $requests (dict "memory" (printf "%dMi" $need)) -}}
{{- dict "requests" $requests "limits" $limits | toYaml -}}
{{- end -}}

{{/*
celery.workerCommand: the command line of a group's workers, as a JSON list.
No gossip and no mingle: they make a start slower the more workers there are.
Params: list of root context, group name and group.
*/}}
{{- define "celery.workerCommand" -}}
{{- $root := index . 0 -}}{{- $group := index . 2 -}}
{{- $command := list "celery" "-A" $root.Values.app.module "worker" "-n" (printf "%s@%%h" (index . 1)) -}}
{{- $command = concat $command (list "-Q" (join "," $group.queues) "-P" $group.pool "-c" (toString ($group.concurrency | int))) -}}
{{- $command = concat $command (list "--without-gossip" "--without-mingle" "--heartbeat-interval" "10" "-O" "fair" "--loglevel" (upper $root.Values.app.logLevel)) -}}
{{- if not (include "celery.isExample" $root) -}}
  {{- /* The example reads these from its variables; of another application nobody knows. */ -}}
  {{- if $root.Values.app.taskEvents }}{{ $command = append $command "--task-events" }}{{ end -}}
  {{- $soft := sub ($group.timeLimitSeconds | int) (max 1 (min 30 (div ($group.timeLimitSeconds | int) 10))) -}}
  {{- $command = concat $command (list "--time-limit" (toString ($group.timeLimitSeconds | int)) "--soft-time-limit" (toString $soft)) -}}
{{- end -}}
{{- with $group.maxTasksPerChild | int }}{{ $command = concat $command (list "--max-tasks-per-child" (toString .)) }}{{ end -}}
{{- with $group.maxMemoryPerChildMiB | int }}{{ $command = concat $command (list "--max-memory-per-child" (toString (mul 1024 .))) }}{{ end -}}
{{- concat $command $group.args | toJson -}}
{{- end -}}

{{/*
celery.workerEnv: what makes a process one of a group, for the runtime.
Params: list of group name and group.
*/}}
{{- define "celery.workerEnv" -}}
{{- $group := index . 1 }}
- {name: CELERY_WORKER_GROUP, value: {{ index . 0 | quote }}}
- {name: CELERY_WORKER_CONCURRENCY, value: {{ $group.concurrency | int | quote }}}
- {name: CELERY_TIME_LIMIT_SECONDS, value: {{ $group.timeLimitSeconds | int | quote }}}
{{- if $group.unboundedPool }}
- {name: CELERY_UNBOUNDED_POOL, value: "true"}
{{- end }}
{{- with $group.softShutdownSeconds | int }}
- {name: CELERY_SOFT_SHUTDOWN_SECONDS, value: {{ . | quote }}}
# A plain SIGTERM waits for every task.
- {name: REMAP_SIGTERM, value: SIGQUIT}
{{- end }}
{{- end -}}
