{{/*
celery.service: a component's Service.
Params: dict as celery.metadata, and values: the component's service values.
*/}}
{{- define "celery.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "celery.metadata" (merge (dict "annotations" .values.annotations) .) | nindent 2 }}
spec:
  type: {{ .values.type }}
  selector:
    {{- include "celery.selector" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .values.port | int }}
      targetPort: http
      {{- with .values.nodePort }}
      nodePort: {{ . | int }}
      {{- end }}
{{- end -}}

{{/*
celery.ingress: a component's Ingress.
Params: dict as celery.metadata, and values: the component's values.
*/}}
{{- define "celery.ingress" -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "celery.metadata" (merge (dict "annotations" .values.ingress.annotations) .) | nindent 2 }}
spec:
  {{- with .values.ingress.className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- with .values.ingress.tlsSecret }}
  tls:
    - {hosts: [{{ $.values.ingress.host | quote }}], secretName: {{ . | quote }}}
  {{- end }}
  rules:
    - host: {{ .values.ingress.host | quote }}
      http:
        paths:
          - path: {{ .values.ingress.path | quote }}
            pathType: Prefix
            backend: {service: {name: {{ .name }}, port: {name: http}}}
{{- end -}}

{{/*
celery.httpRoute: a component's HTTPRoute, for clusters with the Gateway API.
Params: dict as celery.metadata, and values: the component's values.
*/}}
{{- define "celery.httpRoute" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  {{- include "celery.metadata" . | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml .values.httpRoute.parentRefs | nindent 4 }}
  {{- with .values.httpRoute.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - matches: [{path: {type: PathPrefix, value: {{ .values.httpRoute.path | quote }}}}]
      backendRefs: [{name: {{ .name }}, port: {{ .values.service.port | int }}}]
{{- end -}}

{{/*
celery.releasePods: a peer that is the release's own pods of some components.
Params: list of root context and list of components.
*/}}
{{- define "celery.releasePods" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ include "celery.name" (index . 0) | quote }}
      app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: {{ index . 1 | toJson }}}
{{- end -}}

{{/*
celery.clientPeers: who opens Flower and the API: the namespace's pods and networkPolicy.clients.
Params: the root context.
*/}}
{{- define "celery.clientPeers" -}}
- podSelector: {}
{{- with .Values.networkPolicy.clients }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
celery.egressToBroker: egress rules for DNS and the broker.
Params: the root context.
*/}}
{{- define "celery.egressToBroker" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- if include "celery.brokerIsExternal" . }}
# Names can't stand in a NetworkPolicy, so an external broker is its port.
- to:
    {{- include "celery.anywhere" . | nindent 4 }}
  ports:
    - {port: {{ include "celery.brokerPort" . }}, protocol: TCP}
    {{- range .Values.broker.external.sentinel.hosts }}
    - {port: {{ splitList ":" . | last }}, protocol: TCP}
    {{- end }}
{{- else }}
- to:
    {{- include "celery.releasePods" (list . (list "broker")) | nindent 4 }}
  ports: [{port: 6379, protocol: TCP}]
{{- end }}
{{- end -}}

{{/*
celery.openEgress: egress rules of workers and the API: what networkPolicy.egress says, else anywhere; and the agent of
EKS Pod Identity, whose addresses are link-local.
Params: the root context.
*/}}
{{- define "celery.openEgress" -}}
{{ include "celery.egressToBroker" . }}
{{- if .Values.networkPolicy.egress }}
{{ toYaml .Values.networkPolicy.egress }}
{{- else }}
- to:
    {{- include "celery.anywhere" . | nindent 4 }}
{{- end }}
{{- if .Values.networkPolicy.podIdentity }}
- to:
    - ipBlock: {cidr: 169.254.170.23/32}
    - ipBlock: {cidr: "fd00:ec2::23/128"}
  ports: [{port: 80, protocol: TCP}]
{{- end }}
{{- end -}}

{{/*
celery.anywhere: peers that are every address but link-local, where clouds hand out their credentials.
Params: none.
*/}}
{{- define "celery.anywhere" -}}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::23/128", "fd00:ec2::254/128"]}
{{- end -}}
