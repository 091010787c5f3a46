{{/*
celery.selector: what identifies a component's pods, for ever: no version, no chart.
Params: dict with root, component and, for workers, group.   Usage: {{ include "celery.selector" (dict "root" $ "component" "beat") }}
*/}}
{{- define "celery.selector" -}}
app.kubernetes.io/name: {{ include "celery.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .group }}
worker-group: {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
celery.labels: of every object. Pods get celery.podLabels, so that a new chart restarts nothing.
Params: as celery.selector.
*/}}
{{- define "celery.labels" -}}
{{ include "celery.selector" . }}
app.kubernetes.io/part-of: celery
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/*
celery.podLabels: the selector, which nothing overrides, and the user's own labels.
Params: as celery.selector, and own: the component's podLabels.
*/}}
{{- define "celery.podLabels" -}}
{{- $ours := include "celery.selector" . | fromYaml -}}
{{- merge (dict) $ours (.own | default dict) (dict "app.kubernetes.io/part-of" "celery") | toYaml -}}
{{- end -}}

{{/*
celery.metadata: name, namespace and labels of an object.
Params: as celery.selector, and name, and annotations if there are any.
*/}}
{{- define "celery.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "celery.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
