{{/*
celery.isExample: "true" when the application is the one that ships with the chart.
Params: the root context.   Usage: {{ if include "celery.isExample" . }}
*/}}
{{- define "celery.isExample" -}}
{{- if eq .Values.app.module "app.celery_app" }}true{{ end -}}
{{- end -}}

{{/*
celery.hasRuntime: "true" when the application installs app.runtime.
Params: the root context.   Usage: {{ if include "celery.hasRuntime" . }}
*/}}
{{- define "celery.hasRuntime" -}}
{{- if eq .Values.app.runtime "auto" }}{{ include "celery.isExample" . }}{{ else if eq .Values.app.runtime "installed" }}true{{ end -}}
{{- end -}}

{{/*
celery.apiEnabled: "true" when the API runs; the example's goes with the example.
Params: the root context.
*/}}
{{- define "celery.apiEnabled" -}}
{{- if and .Values.api.enabled (or (ne .Values.api.module "app.main:app") (include "celery.isExample" .)) }}true{{ end -}}
{{- end -}}

{{/*
celery.image: a reference of an image.
Params: list of image values and the tag if they have none.   Usage: {{ include "celery.image" (list .Values.image .Chart.AppVersion) }}
*/}}
{{- define "celery.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (index . 1)) -}}
{{- end -}}
{{- end -}}

{{/*
celery.env: a map of variables as a container's env list.
Params: map NAME: value.
*/}}
{{- define "celery.env" -}}
{{- range $name, $value := . }}
- {name: {{ $name | quote }}, value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}}
{{- end }}
{{- end -}}

{{/*
celery.uniqueEnv: an env list without the earlier of two variables of one name, which server-side apply refuses.
Params: the list as YAML text.   Usage: {{ include "celery.uniqueEnv" (print (include "celery.appEnv" $) (include "celery.env" .Values.beat.env)) }}
*/}}
{{- define "celery.uniqueEnv" -}}
{{- $all := fromYamlArray . -}}
{{- $last := dict -}}
{{- range $i, $variable := $all }}{{ $_ := set $last $variable.name $i }}{{ end -}}
{{- range $i, $variable := $all }}
{{- if eq $i (get $last $variable.name) }}
- {{ toJson $variable }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
celery.appEnv: what every process of the application must know: where Redis is, and the settings of `app`.
The password is a variable of its own, which the URLs refer to, so that it stands in no object.
Params: the root context.
*/}}
{{- define "celery.appEnv" -}}
{{- if include "celery.brokerNeedsPassword" . }}
- name: CELERY_BROKER_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list . "broker") | quote }}, key: broker-password}
{{- end }}
- {name: CELERY_BROKER_URL, value: {{ include "celery.redisURL" (list . .Values.broker.databases.broker) | quote }}}
- {name: CELERY_RESULT_BACKEND, value: {{ include "celery.redisURL" (list . .Values.broker.databases.results) | quote }}}
{{- if include "celery.hasRuntime" . }}
- {name: STORE_URL, value: {{ include "celery.redisURL" (list . .Values.broker.databases.store) | quote }}}
{{- include "celery.accessEnv" . }}
- {name: CELERY_LEASE_SECONDS, value: {{ .Values.app.leaseSeconds | quote }}}
- {name: CELERY_MAX_ETA_SECONDS, value: {{ .Values.app.maxEtaSeconds | int | quote }}}
- {name: CELERY_TASK_EVENTS, value: {{ .Values.app.taskEvents | quote }}}
- {name: CELERY_HEARTBEAT_DIR, value: /run/celery}
- {name: LOG_LEVEL, value: {{ .Values.app.logLevel }}}
{{- end }}
{{- include "celery.env" .Values.app.env }}
{{- end -}}

{{/*
celery.appVolumes, celery.appVolumeMounts: what may be written on a read-only root, and the broker's CA.
Params: the root context.
*/}}
{{- define "celery.appVolumes" -}}
- name: tmp
  emptyDir: {}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- if include "celery.brokerCA" . }}
- name: broker-tls
  secret:
    secretName: {{ .Values.broker.tls.existingSecret | quote }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end -}}
{{- define "celery.appVolumeMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: run, mountPath: /run/celery}
{{- if include "celery.brokerCA" . }}
- {name: broker-tls, mountPath: /etc/celery/broker-tls, readOnly: true}
{{- end }}
{{- end -}}

{{/*
celery.appContainer: what every container of the application has in common.
Params: list of root context, env map and envFrom list of the component.
*/}}
{{- define "celery.appContainer" -}}
{{- $root := index . 0 -}}
image: {{ include "celery.image" (list $root.Values.image $root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml $root.Values.containerSecurityContext | nindent 2 }}
{{- with concat $root.Values.app.envFrom (index . 2) }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
celery.flowerPrefix: the path under which Flower answers, empty or with a slash before it.
Params: the root context.
*/}}
{{- define "celery.flowerPrefix" -}}
{{- with .Values.flower.urlPrefix | trimAll "/" }}/{{ . }}{{ end -}}
{{- end -}}

{{/*
celery.beatEnv, celery.flowerEnv, celery.apiEnv: what a component needs besides celery.appEnv.
Params: the root context.
*/}}
{{- define "celery.beatEnv" }}
{{- if include "celery.hasRuntime" . }}
- {name: CELERY_BEAT_LOCK_SECONDS, value: {{ .Values.beat.lockSeconds | quote }}}
{{- end }}
{{- end -}}
{{- define "celery.flowerEnv" }}
- name: FLOWER_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list . "flower") | quote }}, key: flower-password}
# In the environment: an argument is readable by everybody on the node.
- {name: FLOWER_BASIC_AUTH, value: "{{ .Values.flower.user }}:$(FLOWER_PASSWORD)"}
- {name: FLOWER_READ_ONLY, value: {{ .Values.flower.readOnly | quote }}}
- {name: FLOWER_MAX_TASKS, value: {{ .Values.flower.maxTasks | int | quote }}}
- {name: FLOWER_PURGE_OFFLINE_WORKERS, value: "300"}
- {name: FLOWER_DB, value: /tmp/flower.db}
{{- with include "celery.flowerPrefix" . }}
- {name: FLOWER_URL_PREFIX, value: {{ . | quote }}}
{{- end }}
{{- end -}}
{{- define "celery.apiEnv" }}
- name: API_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list . "api") | quote }}, key: api-token}
{{- end -}}
