{{/*
celery.problems: what the schema can't see, a sentence a line: what is wrong, where, and what to write instead.
Params: the root context.
*/}}
{{- define "celery.problems" -}}
{{- if not .Values.image.repository }}
- image.repository is empty: write where your image is, e.g. --set image.repository=registry.example.com/shop; `make image` builds the example's.
{{- end }}
{{- if gt (len (include "celery.fullname" .)) 35 }}
- The prefix {{ include "celery.fullname" . }} of all names is longer than 35 characters, and a label has no room for a worker's: set a shorter fullnameOverride.
{{- end }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "celery.fullname" .)) }}
- The prefix {{ include "celery.fullname" . }} of all names is no DNS label: set fullnameOverride to lower-case letters, digits and dashes.
{{- end }}
{{- include "celery.brokerProblems" . }}
{{- include "celery.groupProblems" . }}
{{- range $name := list "flower" "api" }}
{{- $component := get $.Values $name }}
{{- if and $component.ingress.enabled (not $component.ingress.host) }}
- {{ $name }}.ingress is enabled without a host: write {{ $name }}.ingress.host, e.g. {{ $name }}.example.com.
{{- end }}
{{- if and $component.service.nodePort (eq $component.service.type "ClusterIP") }}
- {{ $name }}.service.nodePort is set and its type is ClusterIP, which has none: write {{ $name }}.service.type: NodePort, or leave nodePort null.
{{- end }}
{{- if and $component.httpRoute.enabled (not $component.httpRoute.parentRefs) }}
- {{ $name }}.httpRoute is enabled without a gateway: write {{ $name }}.httpRoute.parentRefs, e.g. [{name: public, namespace: gateways}].
{{- end }}
{{- end }}
{{- if and .Values.api.autoscaling.enabled (gt (.Values.api.autoscaling.minReplicas | int) (.Values.api.autoscaling.maxReplicas | int)) }}
- api.autoscaling.minReplicas is above maxReplicas: swap them.
{{- end }}
{{- if and (include "celery.ownExporter" .) (not (include "celery.hasRuntime" .)) }}
- exporter.kind own needs an application that installs the runtime, another one writes nothing that it could read: write app.runtime: installed, or exporter.kind: celery-exporter.
{{- end }}
{{- if and .Values.exporter.enabled (eq .Values.exporter.kind "celery-exporter") (not .Values.app.taskEvents) }}
- exporter.kind celery-exporter counts tasks by their events, and app.taskEvents is false: write app.taskEvents: true, or exporter.kind: own.
{{- end }}
{{- if and .Values.exporter.enabled (eq .Values.exporter.kind "celery-exporter") (not (or .Values.exporter.image.tag .Values.exporter.image.digest)) }}
- exporter.image has neither a tag nor a digest, and the newest would be pulled: write exporter.image.tag, e.g. 0.12.2.
{{- end }}
{{- if and .Values.monitoring.serviceMonitor.enabled (not .Values.exporter.enabled) }}
- monitoring.serviceMonitor is enabled and no exporter serves a page: write exporter.enabled: true, or monitoring.serviceMonitor.enabled: false.
{{- end }}
{{- if and .Values.metrics.enabled (not (include "celery.hasRuntime" .)) }}
- metrics.enabled needs an application that installs the runtime, which serves the pages: write app.runtime: installed, or metrics.enabled: false.
{{- end }}
{{- if and .Values.monitoring.podMonitor.enabled (not .Values.metrics.enabled) }}
- monitoring.podMonitor is enabled and no worker serves a page: write metrics.enabled: true, or monitoring.podMonitor.enabled: false.
{{- end }}
{{- range $name := list "prometheusRule" "rules" }}
{{- if and (get $.Values.monitoring $name).enabled (not (include "celery.hasMetrics" $)) (not (include "celery.ownExporter" $)) }}
- monitoring.{{ $name }} is enabled and nothing serves the numbers that its alerts are about: write exporter.enabled: true and metrics.enabled: true, or monitoring.{{ $name }}.enabled: false.
{{- end }}
{{- end }}
{{- if and .Values.monitoring.annotations (not .Values.metrics.enabled) (not .Values.exporter.enabled) }}
- monitoring.annotations is true and nothing serves a page: write metrics.enabled: true and exporter.enabled: true, or monitoring.annotations: false.
{{- end }}
{{- if and .Values.app.priorities.enabled (not (include "celery.hasRuntime" .)) }}
- app.priorities needs an application that installs the runtime: write app.runtime: installed, or app.priorities.enabled: false.
{{- end }}
{{- if and (include "celery.hasRuntime" .) (ge (.Values.app.leaseSeconds | int) 3600) }}
- app.leaseSeconds is {{ .Values.app.leaseSeconds }}: the work of a dead worker would wait so long; write at most 3599, workers renew it however long tasks run.
{{- end }}
{{- end -}}

{{/*
celery.brokerProblems, celery.groupProblems: those of the broker and of the worker groups.
Params: the root context.
*/}}
{{- define "celery.brokerProblems" -}}
{{- $broker := .Values.broker }}
{{- $external := $broker.external }}
{{- if hasPrefix "clustercfg." $external.host }}
- broker.external.host {{ $external.host }} is a Redis Cluster's configuration endpoint, and Celery can't use Redis Cluster as a broker: make a replication group with cluster mode disabled, and write its primary endpoint.
{{- end }}
{{- if and $external.host $external.sentinel.hosts }}
- broker.external has a host and Sentinels: keep host for one Redis, or sentinel for several with failover.
{{- end }}
{{- if ne (empty $external.sentinel.hosts) (empty $external.sentinel.masterName) }}
- broker.external.sentinel needs both masterName and hosts: write e.g. {masterName: mymaster, hosts: ["sentinel-0:26379"]}.
{{- end }}
{{- if and $external.sentinel.hosts $external.tls }}
- broker.external.tls with Sentinels is not supported: write tls: false, or use one TLS endpoint as host.
{{- end }}
{{- if and $external.sentinel.hosts (not (include "celery.hasRuntime" .)) }}
- broker.external.sentinel needs an application that installs the runtime: write app.runtime: installed, or use one endpoint as host.
{{- end }}
{{- if and $external.sentinel.passwordKey (not $broker.existingSecret) }}
- broker.external.sentinel.passwordKey names a key and no Secret is given: write broker.existingSecret, the Secret that has it.
{{- end }}
{{- if and (or $external.username $external.scalerUsername) (not $broker.existingSecret) }}
- broker.external has a user and no password: write broker.existingSecret, the name of a Secret with the key broker-password.
{{- end }}
{{- if and (not (include "celery.brokerIsExternal" .)) $broker.tls.enabled (not $broker.tls.existingSecret) }}
- broker.tls is enabled without a certificate: write broker.tls.existingSecret, the name of a Secret with tls.crt, tls.key and ca.crt.
{{- end }}
{{- if and (include "celery.brokerIsExternal" .) $broker.tls.enabled }}
- broker.tls.enabled is for the chart's own broker, and broker.external is set: write broker.external.tls: true.
{{- end }}
{{- if and (not (include "celery.brokerIsExternal" .)) (or $external.tls $external.username) }}
- broker.external has a user or TLS and no host, so the chart would run a Redis of its own: write broker.external.host.
{{- end }}
{{- if and (include "celery.brokerIsExternal" .) $broker.tls.existingSecret (not $external.tls) }}
- broker.tls.existingSecret gives a CA, and the external broker is spoken to without TLS: write broker.external.tls: true.
{{- end }}
{{- if and $broker.keyPrefix (not (include "celery.hasRuntime" .)) }}
- broker.keyPrefix needs an application that installs the runtime, another one doesn't know it: write app.runtime: installed, or leave it empty.
{{- end }}
{{- if not (include "celery.brokerIsExternal" .) }}
{{- if not (or $broker.image.tag $broker.image.digest) }}
- broker.image has neither a tag nor a digest, and the newest would be pulled: write broker.image.tag, e.g. 7.2.11-bookworm.
{{- end }}
{{- if not ($broker.resources.limits).memory }}
- broker.resources.limits.memory is missing, and Redis' maxmemory is derived from it: write e.g. 512Mi.
{{- else if gt (include "celery.mebibytes" (($broker.resources.requests).memory | default "0") | int) (include "celery.mebibytes" $broker.resources.limits.memory | int) }}
- broker.resources.requests.memory is above the limit: lower it to {{ $broker.resources.limits.memory }} or less.
{{- end }}
{{- if and (ne $broker.server "redis-server") (eq $broker.image.repository "redis") }}
- broker.server is {{ $broker.server }} and the image is redis: write broker.image.repository: valkey/valkey and a tag of it, or broker.server: redis-server.
{{- end }}
{{- end }}
{{- end -}}

{{- define "celery.groupProblems" -}}
{{- $owners := dict }}
{{- range $name, $group := include "celery.workerGroups" . | fromJson }}
{{- $where := printf "workers.groups.%s" $name }}
{{- if not $group.queues }}
- {{ $where }} has no queues: write those that it alone consumes, e.g. queues: [{{ $name }}].
{{- end }}
{{- range $queue := $group.queues }}
{{- if hasKey $owners $queue }}
- Queue {{ $queue }} stands in workers.groups.{{ get $owners $queue }} and in {{ $where }}: a queue belongs to one group, the two could not restore each other's work; take it out of one.
{{- end }}
{{- $_ := set $owners $queue $name }}
{{- end }}
{{- range $queue := $group.queues }}
{{- if and $.Values.app.priorities.enabled (contains $.Values.app.priorities.separator $queue) }}
- Queue {{ $queue }} of {{ $where }} contains app.priorities.separator, and one of its priority lists could be another queue: write a separator that no queue name contains, or leave it out for Celery's own.
{{- end }}
{{- end }}
{{- with $group.softShutdownSeconds | int }}
{{- if not (include "celery.hasRuntime" $) }}
- {{ $where }}.softShutdownSeconds needs an application that installs the runtime: write app.runtime: installed, or softShutdownSeconds: 0.
{{- else if ge . ($group.timeLimitSeconds | int) }}
- {{ $where }}.softShutdownSeconds is {{ . }}, and no task takes longer than timeLimitSeconds, {{ $group.timeLimitSeconds }}: write less, or 0, which waits for every task.
{{- end }}
{{- end }}
{{- if and (has $group.pool (list "solo" "threads" "gevent" "eventlet")) (not $group.unboundedPool) }}
- {{ $where }}.pool is {{ $group.pool }}, which ends no task that runs too long: write pool: prefork, or unboundedPool: true if its tasks bound themselves.
{{- end }}
{{- if and (eq $group.pool "solo") (gt ($group.concurrency | int) 1) }}
- {{ $where }}.concurrency is {{ $group.concurrency }} and its pool solo, which runs one task at a time: write concurrency: 1 and more replicas.
{{- end }}
{{- with ($group.resources.limits).memory }}
{{- $need := include "celery.workerMemoryMiB" $group | int }}
{{- if lt (include "celery.mebibytes" . | int) $need }}
- {{ $where }}.resources.limits.memory is {{ . }}, and {{ $group.concurrency }} slots of pool {{ $group.pool }} need at least {{ $need }}Mi: raise it, or lower concurrency.
{{- end }}
{{- end }}
{{- if and ($group.resources.limits).memory ($group.resources.requests).memory }}
{{- if gt (include "celery.mebibytes" $group.resources.requests.memory | int) (include "celery.mebibytes" $group.resources.limits.memory | int) }}
- {{ $where }}.resources.requests.memory is above the limit: lower it to {{ $group.resources.limits.memory }} or less.
{{- end }}
{{- end }}
{{- $scaling := $group.autoscaling }}
{{- if and $scaling.idleFirst (not (include "celery.hasRuntime" $)) }}
- {{ $where }}.autoscaling.idleFirst needs an application that installs the runtime, another one says nothing about its work: write app.runtime: installed, or idleFirst: false.
{{- end }}
{{- if ne $scaling.engine "none" }}
{{- if gt ($scaling.minReplicas | int) ($scaling.maxReplicas | int) }}
- {{ $where }}.autoscaling.minReplicas is above maxReplicas: swap them.
{{- end }}
{{- if and (eq $scaling.engine "hpa") (lt ($scaling.minReplicas | int) 1) }}
- {{ $where }}.autoscaling.minReplicas is 0, and an HPA can't scale to zero: write 1, or engine: keda.
{{- end }}
{{- if and (eq $scaling.engine "keda") (not (include "celery.hasRuntime" $)) }}
- {{ $where }}.autoscaling.engine is keda, which counts running work in a hash that only the runtime keeps: write app.runtime: installed, or engine: hpa.
{{- end }}
{{- if and (eq $scaling.engine "keda") (eq $scaling.policy "latency") (not (include "celery.ownExporter" $)) }}
- {{ $where }}.autoscaling.policy is latency, which the own exporter measures: write exporter.enabled: true and exporter.kind: own, or policy: work.
{{- end }}
{{- if and (eq $scaling.engine "hpa") (not (int $scaling.targetCPUUtilizationPercentage)) (not $scaling.metrics) }}
- {{ $where }}.autoscaling.engine is hpa and has nothing to go by: write targetCPUUtilizationPercentage: 80, or a list of metrics.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
celery.validate: ends the rendering when there are problems.
Params: the root context.
*/}}
{{- define "celery.validate" -}}
{{- with include "celery.problems" . | trim -}}
{{- fail (printf "These values can't work:\n%s\n" .) -}}
{{- end -}}
{{- end -}}
