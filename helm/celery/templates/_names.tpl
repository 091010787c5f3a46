{{/*
celery.name: the value of app.kubernetes.io/name.
Params: the root context.   Usage: {{ include "celery.name" . }}
*/}}
{{- define "celery.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/*
celery.fullname: what every object's name starts with; the release's name, with the chart's unless it holds it.
Params: the root context.   Usage: {{ include "celery.fullname" . }}
*/}}
{{- define "celery.fullname" -}}
{{- $name := include "celery.name" . -}}
{{- .Values.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) -}}
{{- end -}}

{{/*
celery.componentName: the name of a component's objects.
Params: list of root context and component.   Usage: {{ include "celery.componentName" (list $ "beat") }}
*/}}
{{- define "celery.componentName" -}}
{{- printf "%s-%s" (include "celery.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/*
celery.workerName: the name of a worker group's objects.
Params: list of root context and group name.   Usage: {{ include "celery.workerName" (list $ "email") }}
*/}}
{{- define "celery.workerName" -}}
{{- include "celery.componentName" (list (index . 0) (printf "worker-%s" (index . 1))) -}}
{{- end -}}

{{/*
celery.serviceAccountName: a given account, or the one the chart makes.
Params: list of serviceAccount values and the name of the workload.
*/}}
{{- define "celery.serviceAccountName" -}}
{{- (index . 0).name | default (index . 1) -}}
{{- end -}}
