{{/* Refuses values with which a pod could not start, with a message for each. */}}
{{- define "clocksvc.checks" -}}
{{- $config := .Values.config -}}
{{- $secrets := .Values.secrets -}}
{{- if not (include "clocksvc.clocks" . | fromJsonArray) -}}
{{- fail "config.clocks: wanted at least one clock, such as --set-json 'config.clocks={\"checkins\":{\"topics\":[\"ingest-checkins\"],\"group\":\"checkins-consumer\"}}'" -}}
{{- end -}}
{{- if not (get $config.kafka "bootstrap.servers") -}}
{{- fail "config.kafka: wanted bootstrap.servers, such as {bootstrap.servers: \"kafka-0.kafka:9092,kafka-1.kafka:9092\"}" -}}
{{- end -}}
{{- if not (or $config.redis.url $config.redis.url_file $secrets.redis.url $config.redis.sentinel) -}}
{{- fail "config.redis.url: wanted such as redis://valkey:6379/0, or secrets.redis.url, or config.redis.sentinel" -}}
{{- end -}}
{{- $broker := or $config.celery.broker_url $config.celery.broker_url_file $secrets.celery.broker_url -}}
{{- if and $config.redis.cluster (not $broker) -}}
{{- fail "config.celery.broker_url: wanted, or secrets.celery.broker_url, because a Redis cluster (config.redis.cluster) can't be the broker" -}}
{{- end -}}
{{- if and $secrets.redis.sentinel.password (not $config.redis.sentinel) -}}
{{- fail "secrets.redis.sentinel.password: wanted only where config.redis.sentinel is set" -}}
{{- end -}}
{{- $least := add .Values.api.preStopSeconds 5 -}}
{{- if lt (int64 (default 30 .Values.api.terminationGracePeriodSeconds)) $least -}}
{{- fail (printf "api.terminationGracePeriodSeconds: wanted at least %d, because api.preStopSeconds is a part of it and the leader needs time to hand over" $least) -}}
{{- end -}}
{{- if and .Values.scheduler.enabled (not (include "clocksvc.scheduledClocks" . | fromJsonArray)) -}}
{{- fail "scheduler.enabled: wanted only with a clock that has schedules, such as config.clocks.checkins.schedules={partitions: 8}" -}}
{{- end -}}
{{- if lt (int64 (default 30 .Values.scheduler.terminationGracePeriodSeconds)) 35 -}}
{{- fail "scheduler.terminationGracePeriodSeconds: wanted at least 35, because a scheduler works for up to 30 s until other replicas have taken over its partitions" -}}
{{- end -}}
{{- if .Values.config.scheduler.address -}}
{{- fail "config.scheduler.address: wanted null, because each pod has an address of its own, which the chart sets" -}}
{{- end -}}
{{- include "clocksvc.checkConfig" . -}}
{{- include "clocksvc.checkTokens" . -}}
{{- range $celery := list false true -}}
{{- include "clocksvc.checkTwice" (dict "root" $ "celery" $celery) -}}
{{- include "clocksvc.checkTls" (dict "root" $ "celery" $celery) -}}
{{- end -}}
{{- end -}}

{{- define "clocksvc.checkTokens" -}}
{{- $tokens := .Values.config.api.tokens -}}
{{- if and (not $tokens) (not .Values.api.insecure) -}}
{{- fail "config.api.tokens: wanted at least one token, because the API is open to the cluster; or api.insecure: true" -}}
{{- end -}}
{{- $names := list -}}
{{- range $tokens -}}
{{- $names = append $names .name -}}
{{- $secret := get $.Values.secrets.tokens .name -}}
{{- if and $secret .token_file }}{{ fail (printf "secrets.tokens.%s: wanted either this or the token_file of config.api.tokens" .name) }}{{ end -}}
{{- if not (or $secret .token_file) }}{{ fail (printf "secrets.tokens: wanted %q: {name, key} of the Secret with this token of config.api.tokens" .name) }}{{ end -}}
{{- end -}}
{{- range $name, $from := .Values.secrets.tokens -}}
{{- if and $from (not (has $name $names)) }}{{ fail (printf "secrets.tokens.%s: config.api.tokens has no token of this name" $name) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* A mounted secret would silently override the field in `config`. */}}
{{- define "clocksvc.checkTwice" -}}
{{- $config := include "clocksvc.written" . | fromJson -}}
{{- range include "clocksvc.secretFiles" . | fromJsonArray -}}
{{- $section := .section | eq "redis.sentinel" | ternary (default dict $config.redis.sentinel) (default dict (get $config .section)) -}}
{{- range list .field (printf "%s_file" .field) -}}
{{- if get $section . }}{{ fail (printf "config: %s is given by secrets too: wanted one of the two" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A path below the mount directory without a mount. */}}
{{- define "clocksvc.checkTls" -}}
{{- $config := include "clocksvc.written" . -}}
{{- range regexFindAll "/etc/clocksvc/tls/[^/\"]+" $config -1 | uniq -}}
{{- $name := trimPrefix "/etc/clocksvc/tls/" . -}}
{{- if not (get $.root.Values.tls $name) }}{{ fail (printf "config: %s/… is named there, but tls has no %q" . $name) }}{{ end -}}
{{- end -}}
{{- end -}}
