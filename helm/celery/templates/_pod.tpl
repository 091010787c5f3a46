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
{{- include "celery.podIdentityWith" (list . false) -}}
{{- end -}}

{{/*
celery.podIdentityWith: the same, with a token if the pod talks to the Kubernetes API.
Params: list of root context and whether it does.
*/}}
{{- define "celery.podIdentityWith" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: {{ index . 1 }}
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/*
celery.roleAnnotations: the annotations of a pod that may act as a cloud's role: its own, and one that makes it anew when
networkPolicy.podIdentity changes.
Params: list of root context and the component's podAnnotations.
Usage: {{ include "celery.roleAnnotations" (list $ .Values.api.podAnnotations) | fromYaml }}
*/}}
{{- define "celery.roleAnnotations" -}}
{{- $all := deepCopy (index . 1 | default dict) -}}
{{- if (index . 0).Values.networkPolicy.podIdentity -}}
{{- $all = merge $all (dict "pod-identity" "true") -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/*
celery.idleFirstEnv: what makes a worker keep its pod's deletion cost up to date.
Params: the group.
*/}}
{{- define "celery.idleFirstEnv" -}}
{{- if .autoscaling.idleFirst }}
- {name: CELERY_POD_DELETION_COST, value: "true"}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- end }}
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
