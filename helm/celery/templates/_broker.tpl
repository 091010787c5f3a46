{{/*
celery.brokerIsExternal: "true" when the release runs no Redis of its own.
Params: the root context.
*/}}
{{- define "celery.brokerIsExternal" -}}
{{- with .Values.broker.external }}{{ if or .host .sentinel.hosts }}true{{ end }}{{ end -}}
{{- end -}}

{{/*
celery.brokerTLS: "true" when clients speak TLS to the broker.
Params: the root context.
*/}}
{{- define "celery.brokerTLS" -}}
{{- if include "celery.brokerIsExternal" . -}}
{{- if .Values.broker.external.tls }}true{{ end -}}
{{- else if .Values.broker.tls.enabled }}true{{ end -}}
{{- end -}}

{{/*
celery.brokerCA: "true" when clients check the broker with a CA of a Secret instead of the system's.
Params: the root context.
*/}}
{{- define "celery.brokerCA" -}}
{{- if and (include "celery.brokerTLS" .) .Values.broker.tls.existingSecret }}true{{ end -}}
{{- end -}}

{{/*
celery.brokerUser: the application's user.
Params: the root context.
*/}}
{{- define "celery.brokerUser" -}}
{{- if include "celery.brokerIsExternal" . }}{{ .Values.broker.external.username }}{{ else }}app{{ end -}}
{{- end -}}

{{/*
celery.scalerUser, celery.scalerPasswordKey: who reads the queues' lengths; a managed Redis has often one user only.
Params: the root context.
*/}}
{{- define "celery.scalerUser" -}}
{{- if include "celery.brokerIsExternal" . -}}
{{- .Values.broker.external.scalerUsername | default .Values.broker.external.username -}}
{{- else }}scaler{{ end -}}
{{- end -}}
{{- define "celery.scalerPasswordKey" -}}
{{- if and (include "celery.brokerIsExternal" .) (not .Values.broker.external.scalerUsername) }}broker-password{{ else }}scaler-password{{ end -}}
{{- end -}}

{{/*
celery.brokerNeedsPassword: "true" unless an external broker has none.
Params: the root context.
*/}}
{{- define "celery.brokerNeedsPassword" -}}
{{- if or (not (include "celery.brokerIsExternal" .)) .Values.broker.existingSecret }}true{{ end -}}
{{- end -}}

{{/*
celery.keyPrefix: before every key. An application without the runtime knows none.
Params: the root context.
*/}}
{{- define "celery.keyPrefix" -}}
{{- if .Values.broker.keyPrefix -}}
{{- .Values.broker.keyPrefix -}}
{{- else if include "celery.hasRuntime" . -}}
{{- printf "%s:%s:" .Release.Namespace (include "celery.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/*
celery.brokerHost, celery.brokerPort: where one Redis is; not for Sentinel.
Params: the root context.
*/}}
{{- define "celery.brokerHost" -}}
{{- if include "celery.brokerIsExternal" . -}}
{{- .Values.broker.external.host -}}
{{- else -}}
{{- printf "%s.%s.svc" (include "celery.componentName" (list . "broker")) .Release.Namespace -}}
{{- end -}}
{{- end -}}
{{- define "celery.brokerPort" -}}
{{- if include "celery.brokerIsExternal" . }}{{ .Values.broker.external.port | int }}{{ else }}6379{{ end -}}
{{- end -}}

{{/*
celery.redisURL: a database's URL; the password is the variable CELERY_BROKER_PASSWORD, filled in by the kubelet.
Params: list of root context and database number, and the user if it is not the application's.
*/}}
{{- define "celery.redisURL" -}}
{{- $root := index . 0 -}}
{{- $login := "" -}}
{{- if include "celery.brokerNeedsPassword" $root -}}
{{- $user := include "celery.brokerUser" $root -}}
{{- if gt (len .) 2 }}{{ $user = index . 2 }}{{ end -}}
{{- $login = printf "%s:$(CELERY_BROKER_PASSWORD)@" $user -}}
{{- end -}}
{{- $sentinels := $root.Values.broker.external.sentinel.hosts -}}
{{- $database := index . 1 | int -}}
{{- if $sentinels -}}
{{- range $i, $host := $sentinels }}{{ if $i }};{{ end }}sentinel://{{ $login }}{{ $host }}/{{ $database }}{{ end -}}
{{- else -}}
{{- $scheme := empty (include "celery.brokerTLS" $root) | ternary "redis" "rediss" -}}
{{- printf "%s://%s%s:%s/%d" $scheme $login (include "celery.brokerHost" $root) (include "celery.brokerPort" $root) $database -}}
{{- if include "celery.brokerTLS" $root }}?ssl_cert_reqs=CERT_REQUIRED{{ if include "celery.brokerCA" $root }}&ssl_ca_certs=/etc/celery/broker-tls/ca.crt{{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/*
celery.accessEnv: what the runtime must know of the broker besides its URL.
Params: the root context.
*/}}
{{- define "celery.accessEnv" }}
- {name: CELERY_KEY_PREFIX, value: {{ include "celery.keyPrefix" . | quote }}}
{{- with .Values.app.priorities }}
{{- if .enabled }}
- {name: CELERY_PRIORITIES, value: "true"}
- {name: CELERY_PRIORITY_SEPARATOR, value: {{ .separator | quote }}}
{{- end }}
{{- end }}
{{- with .Values.broker.external.sentinel.masterName }}
- {name: CELERY_SENTINEL_MASTER, value: {{ . | quote }}}
{{- end }}
{{- with .Values.broker.external.sentinel.passwordKey }}
- name: CELERY_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "celery.secretFor" (list $ "broker") }}, key: {{ . | quote }}}
{{- end }}
{{- if include "celery.brokerCA" . }}
- {name: CELERY_BROKER_CA_FILE, value: /etc/celery/broker-tls/ca.crt}
{{- end }}
{{- end -}}

{{/*
celery.brokerFiles: the files of the broker's ConfigMap.
Redis compares a channel pattern letter by letter, and kombu's channels begin with the database's number.
It reads its append-only file as the default user and drops each transaction that user may not run, so users.acl gives it
every right and switches it off: nobody can be it.
Params: the root context.
*/}}
{{- define "celery.brokerFiles" -}}
start.sh: |
  {{- .Files.Get "files/broker-start.sh" | trim | nindent 2 }}
users.acl: |
  {{- .Files.Get "files/users.acl" | replace "${PREFIX}" (include "celery.keyPrefix" .) | replace "/0.celery" (printf "/%d.celery" (.Values.broker.databases.broker | int)) | trim | nindent 2 }}
broker.conf: |
  bind * -::*
  # The default user is off, which protected mode doesn't know.
  protected-mode no
  {{- if .Values.broker.tls.enabled }}
  port 0
  tls-port 6379
  tls-cert-file /etc/broker/tls/tls.crt
  tls-key-file /etc/broker/tls/tls.key
  tls-ca-cert-file /etc/broker/tls/ca.crt
  tls-auth-clients no
  {{- else }}
  port 6379
  {{- end }}
  aclfile /run/broker/users.acl
  dir /data
  appendonly yes
  appendfsync {{ .Values.broker.appendfsync }}
  save ""
  maxmemory {{ include "celery.brokerMaxmemoryMiB" . }}mb
  # A full Redis must refuse a task, not forget another one.
  maxmemory-policy noeviction
  maxclients {{ .Values.broker.maxclients | int }}
  tcp-keepalive 60
  timeout 0
{{- end -}}

{{/*
celery.brokerMaxmemoryMiB: what Redis may fill with data, whole MiB.
Params: the root context.
*/}}
{{- define "celery.brokerMaxmemoryMiB" -}}
{{- div (mul (include "celery.mebibytes" ((.Values.broker.resources.limits).memory | default "0") | int) (.Values.broker.maxmemoryPercent | int)) 100 -}}
{{- end -}}
