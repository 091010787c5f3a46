{{/*
celery.ownExporter: "true" when the release runs app/exporter, which knows what scales.
Params: the root context.
*/}}
{{- define "celery.ownExporter" -}}
{{- if and .Values.exporter.enabled (eq .Values.exporter.kind "own") }}true{{ end -}}
{{- end -}}

{{/*
celery.exporterGroups: what the exporter must know of each worker group, as JSON.
Params: the root context.
*/}}
{{- define "celery.exporterGroups" -}}
{{- $told := dict -}}
{{- range $name, $group := include "celery.workerGroups" . | fromJson -}}
{{- $seconds := dict "waitSeconds" $group.autoscaling.targetWaitSeconds "objectiveSeconds" $group.waitObjectiveSeconds "limitSeconds" $group.timeLimitSeconds -}}
{{- $_ := set $told $name (merge $seconds (dict "queues" $group.queues "slots" (include "celery.slots" $group | int))) -}}
{{- end -}}
{{- toJson $told -}}
{{- end -}}

{{/*
celery.exporterEnv: where the broker is, for its user who only reads, and the groups. The application's own variables come
first: none of them takes the exporter elsewhere, and it has no business with its Secrets (app.envFrom).
Params: the root context.
*/}}
{{- define "celery.exporterEnv" -}}
{{- include "celery.env" .Values.app.env }}
{{- if include "celery.brokerNeedsPassword" . }}
- name: CELERY_BROKER_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list . "broker") | quote }}, key: {{ include "celery.scalerPasswordKey" . }}}
{{- end }}
- {name: CELERY_BROKER_URL, value: {{ include "celery.redisURL" (list . .Values.broker.databases.broker (include "celery.scalerUser" .)) | quote }}}
{{- include "celery.accessEnv" . }}
- {name: CELERY_LEASE_SECONDS, value: {{ .Values.app.leaseSeconds | quote }}}
- {name: CELERY_BEAT_LOCK_SECONDS, value: {{ .Values.beat.lockSeconds | quote }}}
- {name: EXPORTER_PORT, value: "9808"}
- {name: EXPORTER_BEAT, value: {{ .Values.beat.enabled | quote }}}
- {name: EXPORTER_GROUPS, value: {{ include "celery.exporterGroups" . | quote }}}
{{- include "celery.env" .Values.exporter.env }}
{{- end -}}

{{/*
celery.foreignExporterEnv: the same for danihodovic/celery-exporter. It asks workers and hears their events, so it is the
application's user. A client of Celery gives back what it finds unacknowledged for longer than its own visibility timeout,
and would take running tasks from workers: it has keys of its own, in which nothing is. Its options are words with blanks
between. It knows no priorities: a queue is as long as its list for 0.
Params: the root context.
*/}}
{{- define "celery.foreignExporterEnv" -}}
{{- $sentinel := .Values.broker.external.sentinel -}}
{{- $options := list "visibility_timeout=3600" -}}
{{- range list "unacked_key" "unacked_index_key" "unacked_mutex_key" -}}
{{- $options = append $options (printf "%s=celery-exporter:%s" . (trimSuffix "_key" .)) -}}
{{- end -}}
{{- with include "celery.keyPrefix" . }}{{ $options = append $options (printf "global_keyprefix=%s" .) }}{{ end -}}
{{- with $sentinel.masterName }}{{ $options = append $options (printf "master_name=%s" .) }}{{ end -}}
{{- if $sentinel.passwordKey }}{{ $options = append $options "sentinel_kwargs={\"password\":\"$(CELERY_SENTINEL_PASSWORD)\"}" }}{{ end -}}
{{- if include "celery.brokerNeedsPassword" . }}
- name: CELERY_BROKER_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list . "broker") | quote }}, key: broker-password}
{{- end }}
{{- with $sentinel.passwordKey }}
- name: CELERY_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list $ "broker") }}, key: {{ . | quote }}}
{{- end }}
- {name: CE_BROKER_URL, value: {{ include "celery.redisURL" (list . .Values.broker.databases.broker) | quote }}}
- {name: CE_BROKER_TRANSPORT_OPTION, value: {{ join " " $options | quote }}}
{{- if include "celery.brokerTLS" . }}
- {name: CE_BROKER_SSL_OPTION, value: "ssl_cert_reqs=required{{ if include "celery.brokerCA" . }} ssl_ca_certs=/etc/celery/broker-tls/ca.crt{{ end }}"}
{{- end }}
{{- $queues := list }}
{{- range include "celery.workerGroups" . | fromJson }}{{ $queues = concat $queues .queues }}{{ end }}
# Also those that no worker has consumed yet.
- {name: CE_QUEUES, value: {{ join "," $queues | quote }}}
# Otherwise it ends when Redis does.
- {name: CE_RETRY_INTERVAL, value: "5"}
# A name for each process that sends a task would make the page grow.
- {name: CE_GENERIC_HOSTNAME_TASK_SENT_METRIC, value: "true"}
{{- include "celery.env" .Values.exporter.env }}
{{- end -}}

{{/*
celery.exporterPeers: who reads the page: what scales by it, and Prometheus.
Params: the root context.
*/}}
{{- define "celery.exporterPeers" -}}
{{- with concat .Values.networkPolicy.scalers .Values.networkPolicy.prometheus }}
{{- toYaml . }}
{{- end }}
{{- end -}}
