{{/*
celery.hasMetrics: "true" when workers, beat and the API serve a page for Prometheus.
Params: the root context.
*/}}
{{- define "celery.hasMetrics" -}}
{{- if and .Values.metrics.enabled (include "celery.hasRuntime" .) }}true{{ end -}}
{{- end -}}

{{/*
celery.metricsEnv, celery.metricsPorts, celery.metricsContainerPort: what a container needs to serve its page; the last
is for one that has other ports, too.
Params: the root context.
*/}}
{{- define "celery.metricsEnv" }}
{{- if include "celery.hasMetrics" . }}
- {name: CELERY_METRICS_PORT, value: {{ .Values.metrics.port | int | quote }}}
{{- end }}
{{- end -}}
{{- define "celery.metricsContainerPort" -}}
{{- if include "celery.hasMetrics" . -}}
- {name: metrics, containerPort: {{ .Values.metrics.port | int }}}
{{- end -}}
{{- end -}}
{{- define "celery.metricsPorts" -}}
{{- with include "celery.metricsContainerPort" . -}}
ports:
  {{- . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/*
celery.metricsIngress, celery.metricsPeers: lets Prometheus read the page on the port named metrics, and nobody else
anything; the second is for a policy that has other rules. Without a peer there is no rule, which would let everybody in.
Params: the root context.
*/}}
{{- define "celery.metricsPeers" -}}
{{- if and (include "celery.hasMetrics" .) .Values.networkPolicy.prometheus -}}
- from:
    {{- toYaml .Values.networkPolicy.prometheus | nindent 4 }}
  ports: [{port: metrics, protocol: TCP}]
{{- end -}}
{{- end -}}
{{- define "celery.metricsIngress" -}}
{{- with include "celery.metricsPeers" . -}}
ingress:
  {{- . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/*
celery.podAnnotations: a pod's own annotations, and with monitoring.annotations those that a Prometheus finds its page by,
unless the pod's own say otherwise.
Params: list of root context, the component's podAnnotations, and the port of its page, 0 for none.
Usage: {{ include "celery.podAnnotations" (list $ .Values.exporter.podAnnotations 9808) }}
*/}}
{{- define "celery.podAnnotations" -}}
{{- $all := deepCopy (index . 1 | default dict) -}}
{{- if and (index . 0).Values.monitoring.annotations (index . 2 | int) -}}
{{- $all = merge $all (dict "prometheus.io/scrape" "true" "prometheus.io/port" (index . 2 | int | toString) "prometheus.io/path" "/metrics") -}}
{{- end -}}
{{- with $all }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/*
celery.metricsPort: the port of the pages of workers, beat and the API, 0 when they have none.
Params: the root context.
*/}}
{{- define "celery.metricsPort" -}}
{{- if include "celery.hasMetrics" . }}{{ .Values.metrics.port | int }}{{ else }}0{{ end -}}
{{- end -}}
