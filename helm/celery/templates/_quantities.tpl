{{/*
celery.mebibytes: a quantity of memory as whole MiB.
Params: quantity, e.g. 512Mi, 1Gi, 1.5G or bytes.   Usage: {{ include "celery.mebibytes" "1Gi" }}
*/}}
{{- define "celery.mebibytes" -}}
{{- $text := toString . -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $number := regexFind "^[0-9.]+(e[+]?[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if or (not $number) (not (hasKey $units $unit)) -}}
{{- fail (printf "%q is no amount of memory: write one such as 512Mi or 1Gi." $text) -}}
{{- end -}}
{{- divf (mulf (float64 $number) (get $units $unit)) 1048576.0 | floor | int64 -}}
{{- end -}}
