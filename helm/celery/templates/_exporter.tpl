{{/*
celery.exporterGroups: what the exporter must know of each worker group, as JSON.
Params: the root context.
*/}}
{{- define "celery.exporterGroups" -}}
{{- $told := dict -}}
{{- range $name, $group := include "celery.workerGroups" . | fromJson -}}
{{- $_ := set $told $name (dict "queues" $group.queues "slots" (include "celery.slots" $group | int) "waitSeconds" $group.autoscaling.targetWaitSeconds) -}}
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
- {name: EXPORTER_GROUPS, value: {{ include "celery.exporterGroups" . | quote }}}
{{- include "celery.env" .Values.exporter.env }}
{{- end -}}
