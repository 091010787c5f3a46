{{/*
celery.podScheduling: where a pod may run.
Params: the component's values.
*/}}
{{- define "celery.podScheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
celery.topologySpread: the constraints, each with the workload's selector unless it has its own.
Params: list of constraints and selector (YAML text).
*/}}
{{- define "celery.topologySpread" -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (index . 1 | fromYaml)) -}}
{{- range index . 0 }}
- {{ hasKey . "labelSelector" | ternary . (mustMerge (deepCopy .) $selector) | toJson }}
{{- end }}
{{- end -}}

{{/*
celery.podIdentity: pull secrets, the user, and no token of the cluster's.
Params: the root context.
*/}}
{{- define "celery.podIdentity" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/*
celery.httpProbe: a GET of a path on the port named http.
Params: path.
*/}}
{{- define "celery.httpProbe" -}}
httpGet: {path: {{ . }}, port: http}
{{- end -}}

{{/*
celery.freshFile: a probe's command that fails when a file in /run/celery is older than some seconds, or not there.
find costs 2 ms; a Python that imports Celery half a second of CPU.
Params: list of file name and seconds.
*/}}
{{- define "celery.freshFile" -}}
exec:
  command: [sh, -c, 'test -n "$(find /run/celery/{{ index . 0 }} -newermt "-{{ index . 1 }} seconds")"']
{{- end -}}
