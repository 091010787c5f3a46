{{/*
celery.secretFor: the Secret that holds a component's keys: a given one, or the release's own.
Params: list of root context and component (broker, flower or api).
*/}}
{{- define "celery.secretFor" -}}
{{- $root := index . 0 -}}
{{- (get $root.Values (index . 1)).existingSecret | default (include "celery.fullname" $root) -}}
{{- end -}}

{{/*
celery.generatedKeys: the keys that the release's own Secret needs, comma separated; none when every Secret is given.
Params: the root context.
*/}}
{{- define "celery.generatedKeys" -}}
{{- $keys := list -}}
{{- if and (not .Values.broker.existingSecret) (not (include "celery.brokerIsExternal" .)) -}}
  {{- $keys = list "broker-password" "scaler-password" "probe-password" -}}
{{- end -}}
{{- if and .Values.flower.enabled (not .Values.flower.existingSecret) }}{{ $keys = append $keys "flower-password" }}{{ end -}}
{{- if and (include "celery.apiEnabled" .) (not .Values.api.existingSecret) }}{{ $keys = append $keys "api-token" }}{{ end -}}
{{- join "," $keys -}}
{{- end -}}

{{/*
celery.secretJobSpec: the Job that fills the Secret. Its name is the hash of this, since a Job can't be changed.
Params: the root context.
*/}}
{{- define "celery.secretJobSpec" -}}
{{- $name := include "celery.componentName" (list . "secret") -}}
backoffLimit: 10
# Gone after a while, so that the next install or upgrade runs it again: it mends a Secret that somebody has emptied.
ttlSecondsAfterFinished: 600
template:
  metadata:
    labels:
      {{- include "celery.podLabels" (dict "root" . "component" "secret") | nindent 6 }}
    annotations:
      checksum/script: {{ .Files.Get "files/fill_secret.py" | sha256sum }}
  spec:
    restartPolicy: OnFailure
    serviceAccountName: {{ $name }}
    {{- include "celery.podScheduling" .Values.secretJob | nindent 4 }}
    {{- include "celery.podIdentityWith" (list . true) | nindent 4 }}
    containers:
      - name: secret
        image: {{ include "celery.image" (list .Values.image .Chart.AppVersion) | quote }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        command: [python, /scripts/fill_secret.py, {{ .Release.Namespace | quote }}, {{ include "celery.fullname" . | quote }}{{ range splitList "," (include "celery.generatedKeys" .) }}, {{ . }}{{ end }}]
        securityContext:
          {{- toYaml .Values.containerSecurityContext | nindent 10 }}
        resources:
          requests: {cpu: 10m, memory: 32Mi}
          limits: {memory: 64Mi}
        volumeMounts:
          - {name: scripts, mountPath: /scripts, readOnly: true}
    volumes:
      - name: scripts
        configMap: {name: {{ $name }}}
{{- end -}}
