{{/* The pod template of every Deployment. */}}

{{/* root, own (the values of this Deployment), component, pool, path (of own in the values), celery, container (the rest
     of its YAML), and maybe env (variables of its own). */}}
{{- define "clocksvc.podTemplate" -}}
{{- $root := .root -}}
{{- $own := .own -}}
{{- $all := $root.Values.pods -}}
{{- $files := include "clocksvc.secretFiles" . | fromJsonArray -}}
metadata:
  labels:
    {{- include "clocksvc.laid" (list $root.Values.labels $all.labels $own.labels (include "clocksvc.selector" . | fromYaml)) | nindent 4 }}
  annotations:
    {{- $checksum := dict "checksum/config" (include "clocksvc.config" . | sha256sum) -}}
    {{- include "clocksvc.laid" (list $root.Values.annotations $all.annotations $own.annotations $checksum) | nindent 4 }}
spec:
  enableServiceLinks: false
  automountServiceAccountToken: false
  serviceAccountName: {{ include "clocksvc.serviceAccountName" $root }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "clocksvc.laid" (list $all.podSecurityContext $own.podSecurityContext) | nindent 4 }}
  terminationGracePeriodSeconds: {{ default 30 $own.terminationGracePeriodSeconds }}
  {{- with default $all.priorityClassName $own.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if or $own.nodeSelector $all.nodeSelector }}
  nodeSelector:
    {{- include "clocksvc.laid" (list $all.nodeSelector $own.nodeSelector) | nindent 4 }}
  {{- end }}
  {{- with default $all.tolerations $own.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with default $all.affinity $own.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "clocksvc.spread" . | nindent 2 }}
  containers:
    - name: {{ .component }}
      image: {{ include "clocksvc.image" . }}
      imagePullPolicy: {{ default $root.Values.image.pullPolicy (default dict $own.image).pullPolicy }}
      securityContext:
        {{- include "clocksvc.laid" (list $all.securityContext $own.securityContext) | nindent 8 }}
      {{- with $own.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        - {name: CLOCKSVC_CONFIG, value: /etc/clocksvc/clocksvc.yaml}
        {{- with concat (default list .env) $all.extraEnv (default list $own.extraEnv) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with concat $all.extraEnvFrom (default list $own.extraEnvFrom) }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/clocksvc/clocksvc.yaml, subPath: clocksvc.yaml, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if $files }}
        - {name: secrets, mountPath: /run/secrets/clocksvc, readOnly: true}
        {{- end }}
        {{- range $name, $_ := $root.Values.tls }}
        - {name: tls-{{ $name }}, mountPath: /etc/clocksvc/tls/{{ $name }}, readOnly: true}
        {{- end }}
        {{- with concat $all.extraVolumeMounts (default list $own.extraVolumeMounts) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- .container | nindent 6 }}
  volumes:
    - name: config
      configMap: {name: {{ include "clocksvc.fullname" $root }}{{ .celery | ternary "-celery" "" }}}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if $files }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $files }}
          - secret: {name: {{ .name | quote }}, items: [{key: {{ .key | quote }}, path: {{ .file | quote }}}]}
          {{- end }}
    {{- end }}
    {{- range $name, $from := $root.Values.tls }}
    - name: tls-{{ $name }}
      {{- if $from.secret }}
      secret: {secretName: {{ $from.secret | quote }}, defaultMode: 0440}
      {{- else }}
      configMap: {name: {{ $from.configMap | quote }}}
      {{- end }}
    {{- end }}
    {{- with concat $all.extraVolumes (default list $own.extraVolumes) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Spread over nodes and zones by default; in a rolling update each generation separately. */}}
{{- define "clocksvc.spread" -}}
{{- $own := kindIs "slice" .own.topologySpreadConstraints | ternary .own.topologySpreadConstraints .root.Values.pods.topologySpreadConstraints -}}
{{- if kindIs "slice" $own -}}
{{- with $own -}}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- else -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "clocksvc.selector" $ | nindent 8 }}
    {{- if semverCompare ">=1.27-0" $.root.Capabilities.KubeVersion.Version }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* root, own, component, pool, name: limits the pods that a node drain evicts at once. */}}
{{- define "clocksvc.podDisruptionBudget" -}}
{{- $budget := include "clocksvc.laid" (list (dict "enabled" true "maxUnavailable" 1) .own.podDisruptionBudget) | fromYaml -}}
{{- if $budget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "clocksvc.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ $budget.maxUnavailable }}
  {{- if semverCompare ">=1.27-0" .root.Capabilities.KubeVersion.Version }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  {{- end }}
  selector:
    matchLabels:
      {{- include "clocksvc.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}
