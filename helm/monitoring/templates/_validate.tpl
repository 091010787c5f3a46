{{/*
monitoring.problems: what the schema can't see, a sentence a line: what is wrong, where, and what to write instead.
Params: the root context.
*/}}
{{- define "monitoring.problems" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,42}[a-z0-9])?$" (include "monitoring.fullname" .)) }}
- The prefix {{ include "monitoring.fullname" . }} of all names is longer than 44 characters, or no DNS label: set fullnameOverride to lower-case letters, digits and dashes.
{{- end }}
{{- if and .Values.grafana.enabled (not .Values.grafana.existingSecret) }}
- grafana.existingSecret is empty, and Grafana has no login: make one with `kubectl create secret generic grafana-login --from-literal=admin-user=admin --from-file=admin-password=FILE`, and write grafana.existingSecret: grafana-login; or write grafana.enabled: false.
{{- end }}
{{- if and .Values.grafana.enabled (not .Values.prometheus.enabled) (not .Values.grafana.prometheusUrl) }}
- grafana.prometheusUrl is empty and prometheus.enabled is false, so that Grafana has nothing to show: write prometheus.enabled: true, or where yours is, e.g. grafana.prometheusUrl: http://prometheus-operated.monitoring:9090.
{{- end }}
{{- if and .Values.alertmanager.enabled (not .Values.prometheus.enabled) }}
- alertmanager.enabled is true and prometheus.enabled is false, so that no alert comes to it: write prometheus.enabled: true, or alertmanager.enabled: false.
{{- end }}
{{- with include "monitoring.secretKeys" .Values.alertmanager.config }}
- alertmanager.config holds {{ . }}, and a ConfigMap is no place for a secret: write the whole file into a Secret under the key alertmanager.yml, and its name as alertmanager.existingSecret.
{{- end }}
{{- range $name := list "prometheus" "alertmanager" "grafana" }}
{{- $service := (get $.Values $name).service }}
{{- if and $service.nodePort (eq $service.type "ClusterIP") }}
- {{ $name }}.service.nodePort is set and its type is ClusterIP, which has none: write {{ $name }}.service.type: NodePort, or leave nodePort null.
{{- end }}
{{- end }}
{{- if not (or .Values.prometheus.enabled .Values.alertmanager.enabled .Values.kubeStateMetrics.enabled .Values.grafana.enabled) }}
- Nothing is enabled: write enabled: true under prometheus, kubeStateMetrics or grafana, or uninstall the release.
{{- end }}
{{- end -}}

{{/*
monitoring.secretKeys: the keys of Alertmanager's file that hold secrets, comma separated.
Those are its <secret> fields, and addresses that are secrets; `*_file` names a file, which is none.
Params: the configuration.
*/}}
{{- define "monitoring.secretKeys" -}}
{{- $found := list -}}
{{- range regexFindAll "\"([a-z_]*(password|secret|secrets|secret_key|token|token_id|api_key|routing_key|service_key|api_url|webhook_url|credentials|user_key)|url|key)\":" (toJson .) -1 -}}
{{- $found = append $found (trimAll "\":" .) -}}
{{- end -}}
{{- join ", " ($found | uniq | sortAlpha) -}}
{{- end -}}

{{/*
monitoring.validate: fails with all problems at once.
Params: the root context.
*/}}
{{- define "monitoring.validate" -}}
{{- with include "monitoring.problems" . | trim }}
{{- fail (printf "These values can't work:\n%s\n" .) -}}
{{- end -}}
{{- end -}}
