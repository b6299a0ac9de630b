{{/* Names and labels. */}}

{{- define "clocksvc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 30 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for the names of pods below it: 30, "-worker-" and a pool's 20. */}}
{{- define "clocksvc.fullname" -}}
{{- $name := include "clocksvc.name" . -}}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $default .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- end -}}

{{- define "clocksvc.serviceAccountName" -}}
{{- $default := .Values.serviceAccount.create | ternary (include "clocksvc.fullname" .) "default" -}}
{{- default $default .Values.serviceAccount.name -}}
{{- end -}}

{{/* Selector labels; they never change for a release. */}}
{{- define "clocksvc.selector" -}}
app.kubernetes.io/name: {{ include "clocksvc.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .pool }}
clocksvc/pool: {{ . }}
{{- end }}
{{- end -}}

{{/* The metadata of any object: root, name, and maybe component, pool, labels, annotations. */}}
{{- define "clocksvc.metadata" -}}
{{- $root := .root -}}
{{- $own := dict
      "app.kubernetes.io/version" (default $root.Chart.AppVersion $root.Values.image.tag | trunc 63 | trimSuffix "-")
      "app.kubernetes.io/managed-by" $root.Release.Service
      "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63)
-}}
name: {{ .name }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "clocksvc.laid" (list $root.Values.labels .labels $own (include "clocksvc.selector" . | fromYaml)) | nindent 2 }}
{{- if or .annotations $root.Values.annotations }}
annotations:
  {{- include "clocksvc.laid" (list $root.Values.annotations .annotations) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Shallow merge of a list of maps; later maps win. Sprig's merge treats false as unset. */}}
{{- define "clocksvc.laid" -}}
{{- $laid := dict -}}
{{- range . -}}
{{- range $key, $value := . }}{{ $_ := set $laid $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $laid -}}
{{- end -}}

{{/* The image of `own`, over the chart's: root, own, path (of own in the values). */}}
{{- define "clocksvc.image" -}}
{{- $own := default dict .own.image -}}
{{- $all := .root.Values.image -}}
{{- $mine := or $own.tag $own.digest -}}
{{- if and $own.repository (not $mine) }}{{ fail (printf "%s.image: wanted a tag or a digest beside the repository" .path) }}{{ end -}}
{{- default $all.repository $own.repository -}}
{{- if $own.digest -}}
@{{ $own.digest }}
{{- else if $own.tag -}}
:{{ $own.tag }}
{{- else if $all.digest -}}
@{{ $all.digest }}
{{- else -}}
:{{ default .root.Chart.AppVersion $all.tag }}
{{- end -}}
{{- end -}}

{{/* The runbook's URL for links; "" if it is not set. */}}
{{- define "clocksvc.runbook" -}}
{{- if .Values.runbookUrl -}}
{{ .Values.runbookUrl }}
{{- else if .Values.pageUrl -}}
{{ .Values.pageUrl }}/status/runbook.md
{{- end -}}
{{- end -}}
