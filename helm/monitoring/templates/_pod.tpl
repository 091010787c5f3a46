{{/*
monitoring.image: repository and tag, or digest.
Params: the image's values.
*/}}
{{- define "monitoring.image" -}}
{{- printf "%s%s" .repository (.digest | empty | ternary (printf ":%s" .tag) (printf "@%s" .digest)) -}}
{{- end -}}

{{/*
monitoring.podSpec: what every pod has: where it may run, as whom, and whether it talks to the Kubernetes API.
Params: list of root context, the component's values, and whether it has a token.
*/}}
{{- define "monitoring.podSpec" -}}
{{- $root := index . 0 -}}{{- $values := index . 1 -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: {{ index . 2 }}
enableServiceLinks: false
securityContext:
  {{- merge (dict) ($values.podSecurityContext | default dict) $root.Values.podSecurityContext | toYaml | nindent 2 }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $values $key }}
{{ $key }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
monitoring.container: image and rights of a component's container.
Params: list of root context and the component's values.
*/}}
{{- define "monitoring.container" -}}
image: {{ include "monitoring.image" (index . 1).image | quote }}
imagePullPolicy: {{ (index . 1).image.pullPolicy }}
securityContext:
  {{- toYaml (index . 0).Values.containerSecurityContext | nindent 2 }}
resources:
  {{- toYaml (index . 1).resources | nindent 2 }}
{{- end -}}

{{/*
monitoring.probes: of a process that answers on the port named http.
Params: list of the path that says that it is ready, and the one that says that it lives.
*/}}
{{- define "monitoring.probes" -}}
startupProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 10
livenessProbe:
  httpGet: {path: {{ index . 1 }}, port: http}
  periodSeconds: 15
  failureThreshold: 6
  timeoutSeconds: 5
{{- end -}}

{{/*
monitoring.service: a component's Service on the port named http.
Params: list of root context, component and service values.
*/}}
{{- define "monitoring.service" -}}
{{- $values := index . 2 -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "monitoring.metadata" (list (index . 0) (index . 1)) | nindent 2 }}
  {{- with $values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $values.type }}
  selector:
    {{- include "monitoring.selector" . | nindent 4 }}
  ports:
    - name: http
      port: {{ $values.port | int }}
      targetPort: http
      {{- with $values.nodePort }}
      nodePort: {{ . | int }}
      {{- end }}
{{- end -}}

{{/*
monitoring.networkPolicy: lets the namespace's pods and networkPolicy.clients in, or just some components.
Params: list of root context, component and list of components; without any, all pods of the namespace and the clients.
*/}}
{{- define "monitoring.networkPolicy" -}}
{{- $root := index . 0 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "monitoring.metadata" (list $root (index . 1)) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "monitoring.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        {{- range index . 2 }}
        - podSelector:
            matchLabels:
              {{- include "monitoring.selector" (list $root .) | nindent 14 }}
        {{- else }}
        - podSelector: {}
        {{- with $root.Values.networkPolicy.clients }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- end }}
      ports: [{port: http, protocol: TCP}]
{{- end -}}

{{/*
monitoring.reader: a component's account, which may read some kinds in each of some namespaces, and nothing else.
Params: list of root context, component, namespaces and rules.
*/}}
{{- define "monitoring.reader" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $rules := index . 3 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "monitoring.metadata" (list $root $component) | nindent 2 }}
automountServiceAccountToken: false
{{- range index . 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "monitoring.metadata" (list $root $component .) | nindent 2 }}
rules:
  {{- toYaml $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "monitoring.metadata" (list $root $component .) | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "monitoring.nameIn" (list $root $component .) }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "monitoring.componentName" (list $root $component) }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end -}}
