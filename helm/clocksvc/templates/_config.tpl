{{/* The configuration that clocksvc reads, built from `config` and the files of `secrets`. */}}

{{/* root, celery: the sections as written for the service, or for beats and workers. */}}
{{- define "clocksvc.written" -}}
{{- $config := deepCopy .root.Values.config -}}
{{- range $section := list "clocks" "namespaces" -}}
{{- range $name, $one := get $config $section -}}
{{- if not $one }}{{ $_ := unset (get $config $section) $name }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if .celery -}}
{{- $config = omit $config "api" -}}
{{- range $section, $fields := .root.Values.celeryOverrides.config -}}
{{- $_ := set $config $section (include "clocksvc.laid" (list (get $config $section) $fields) | fromYaml) -}}
{{- end -}}
{{- else if or $config.api.hosts (not $config.api.tokens) -}}
{{- $_ := set $config.api "hosts" (include "clocksvc.hosts" .root | fromJsonArray) -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* The names by which clients reach the service: config.api.hosts, the Service, ingress, route and page. */}}
{{- define "clocksvc.hosts" -}}
{{- $name := include "clocksvc.fullname" . -}}
{{- $space := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := concat (default list .Values.config.api.hosts) (list $name $space (printf "%s.svc" $space) (printf "%s.svc.cluster.local" $space)) -}}
{{- if .Values.ingress.enabled }}{{ $hosts = concat $hosts .Values.ingress.hosts }}{{ end -}}
{{- if .Values.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.httpRoute.hostnames }}{{ end -}}
{{- with .Values.pageUrl }}{{ $hosts = append $hosts (urlParse .).hostname }}{{ end -}}
{{- toJson (uniq $hosts) -}}
{{- end -}}

{{/* root, celery: [{setting, section, field, file, name, key}] for each secret that is mounted. */}}
{{- define "clocksvc.secretFiles" -}}
{{- $secrets := deepCopy .root.Values.secrets -}}
{{- if .celery -}}
{{- range $section, $fields := .root.Values.celeryOverrides.secrets -}}
{{- $_ := set $secrets $section (include "clocksvc.laid" (list (get $secrets $section) $fields) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- $given := list -}}
{{- range $section, $fields := pick $secrets "redis" "celery" "kafka" -}}
{{- range $field, $from := $fields -}}
{{- if and (eq $section "redis") (eq $field "sentinel") -}}
{{- with $from.password -}}
{{- $given = append $given (dict "section" "redis.sentinel" "field" "password" "from" .) -}}
{{- end -}}
{{- else if $from -}}
{{- $given = append $given (dict "section" $section "field" $field "from" $from) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not .celery -}}
{{- range $token, $from := $secrets.tokens -}}
{{- if $from }}{{ $given = append $given (dict "section" "api.tokens" "field" $token "from" $from) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $files := list -}}
{{- range $given -}}
{{- $setting := printf "%s.%s" .section .field -}}
{{- $files = append $files (dict "setting" $setting "section" .section "field" .field "file" $setting "name" .from.name "key" .from.key) -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* root, celery: the configuration's text. In JSON every reader takes strings as strings; in YAML some look like other types. */}}
{{- define "clocksvc.config" -}}
{{- $config := include "clocksvc.written" . | fromJson -}}
{{- range include "clocksvc.secretFiles" . | fromJsonArray -}}
{{- $file := printf "/run/secrets/clocksvc/%s" .file -}}
{{- $field := .field -}}
{{- if eq .section "api.tokens" -}}
{{- range $config.api.tokens -}}
{{- if eq .name $field }}{{ $_ := set . "token_file" $file }}{{ end -}}
{{- end -}}
{{- else if eq .section "redis.sentinel" -}}
{{- if $config.redis.sentinel }}{{ $_ := set $config.redis.sentinel "password_file" $file }}{{ end -}}
{{- else -}}
{{- $section := get $config .section -}}
{{- $_ := unset $section $field -}}
{{- $_ := set $section (printf "%s_file" $field) $file -}}
{{- end -}}
{{- end -}}
{{- range $name := list "redis" "kafka" "celery" "taskbroker" -}}
{{- $section := get $config $name -}}
{{- range $field, $value := $section -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $section $field }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $config.redis.sentinel -}}
{{- range $field, $value := . -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $config.redis.sentinel $field }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toPrettyJson $config -}}
{{- end -}}

{{/* The clocks' names, as a JSON list. */}}
{{- define "clocksvc.clocks" -}}
{{- (include "clocksvc.written" (dict "root" . "celery" false) | fromJson).clocks | keys | sortAlpha | toJson -}}
{{- end -}}

{{/* The names of the clocks that have schedules, as a JSON list. */}}
{{- define "clocksvc.scheduledClocks" -}}
{{- $names := list -}}
{{- range $name, $clock := .Values.config.clocks -}}
{{- if kindIs "map" (default dict $clock).schedules }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* "true" if the release has a scheduler, else "". */}}
{{- define "clocksvc.scheduler" -}}
{{- $wanted := kindIs "invalid" .Values.scheduler.enabled | ternary true .Values.scheduler.enabled -}}
{{- if and $wanted (include "clocksvc.scheduledClocks" . | fromJsonArray) }}true{{ end -}}
{{- end -}}

{{/* The name of a token that can read every clock: root, wanted (a name, or ""), path, required. "" without one. */}}
{{- define "clocksvc.readToken" -}}
{{- include "clocksvc.checks" .root -}}
{{- $secrets := .root.Values.secrets.tokens -}}
{{- $found := "" -}}
{{- range .root.Values.config.api.tokens -}}
{{- $reads := or (has "read" .scopes) (has "admin" .scopes) -}}
{{- $everywhere := or (not (hasKey . "clocks")) (eq (toString .clocks) "all") -}}
{{- if and (not $found) $reads $everywhere (get $secrets .name) }}{{ $found = .name }}{{ end -}}
{{- end -}}
{{- if .wanted -}}
{{- if not (get $secrets .wanted) }}{{ fail (printf "%s: secrets.tokens has no %q" .path .wanted) }}{{ end -}}
{{- .wanted -}}
{{- else if and .required .root.Values.config.api.tokens (not $found) -}}
{{- fail (printf "%s: wanted one of secrets.tokens, because none of config.api.tokens has the scope read for all clocks and its text in secrets.tokens" .path) -}}
{{- else -}}
{{- $found -}}
{{- end -}}
{{- end -}}
