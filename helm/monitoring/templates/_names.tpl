{{/*
monitoring.name, monitoring.fullname: as in helm/celery.
Params: the root context.
*/}}
{{- define "monitoring.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}
{{- define "monitoring.fullname" -}}
{{- $name := include "monitoring.name" . -}}
{{- .Values.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) -}}
{{- end -}}

{{/*
monitoring.componentName: the name of a component's objects.
Params: list of root context and component.
*/}}
{{- define "monitoring.componentName" -}}
{{- printf "%s-%s" (include "monitoring.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/*
monitoring.nameIn: the same in any namespace; in another's it begins with the release's own, since two may look there.
Params: list of root context, component and namespace.
*/}}
{{- define "monitoring.nameIn" -}}
{{- $root := index . 0 -}}
{{- eq (index . 2) $root.Release.Namespace | ternary "" (printf "%s-" $root.Release.Namespace) }}{{ include "monitoring.componentName" . -}}
{{- end -}}

{{/*
monitoring.selector: what identifies a component's pods, for ever.
Params: list of root context and component.
*/}}
{{- define "monitoring.selector" -}}
app.kubernetes.io/name: {{ include "monitoring.name" (index . 0) | quote }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/*
monitoring.labels: of every object.
Params: list of root context and component.
*/}}
{{- define "monitoring.labels" -}}
{{- $root := index . 0 -}}
{{ include "monitoring.selector" . }}
app.kubernetes.io/part-of: monitoring
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/*
monitoring.metadata: name, namespace and labels of an object.
Params: list of root context and component, and a namespace if it is another than the release's.
*/}}
{{- define "monitoring.metadata" -}}
{{- $root := index . 0 -}}
{{- $namespace := (gt (len .) 2) | ternary (last .) $root.Release.Namespace -}}
name: {{ include "monitoring.nameIn" (list $root (index . 1) $namespace) | quote }}
namespace: {{ $namespace | quote }}
labels:
  {{- include "monitoring.labels" . | nindent 2 }}
{{- end -}}

{{/*
monitoring.namespaces: those that are looked at, as a JSON list: this one first.
Params: the root context.
*/}}
{{- define "monitoring.namespaces" -}}
{{- prepend .Values.namespaces .Release.Namespace | uniq | toJson -}}
{{- end -}}
