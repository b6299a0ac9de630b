{{/* Refuses a `config` that clocksvc itself would refuse. values.schema.json has the rules for single values; these are
     the rules for fields that must fit to each other. */}}
{{- define "clocksvc.checkConfig" -}}
{{- range $name, $clock := .Values.config.clocks -}}
{{- if $clock }}{{ include "clocksvc.checkClock" (dict "root" $ "name" $name "clock" $clock) }}{{ end -}}
{{- end -}}
{{- include "clocksvc.checkRedis" . -}}
{{- $tokens := list -}}
{{- range $index, $token := .Values.config.api.tokens -}}
{{- if has $token.name $tokens }}{{ fail (printf "config.api.tokens.%d.name: wanted each name once: %s" $index $token.name) }}{{ end -}}
{{- $tokens = append $tokens $token.name -}}
{{- if and $token.clocks (kindIs "slice" $token.clocks) -}}
{{- range $position, $clock := $token.clocks -}}
{{- if not (get $.Values.config.clocks $clock) }}{{ fail (printf "config.api.tokens.%d.clocks.%d: %q is none of config.clocks" $index $position $clock) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $one := .Values.config.namespaces -}}
{{- if $one -}}
{{- if not (or $one.queue $one.topic) }}{{ fail (printf "config.namespaces.%s.queue: wanted `queue`, or `topic` for the task platform" $name) }}{{ end -}}
{{- if and $one.queue $one.topic }}{{ fail (printf "config.namespaces.%s.topic: wanted either a queue or a topic" $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* root, name, clock */}}
{{- define "clocksvc.checkClock" -}}
{{- $at := printf "config.clocks.%s" .name -}}
{{- $clock := .clock -}}
{{- $day := 86400000 | int64 -}}
{{- range $field := list "interval" "recent_ticks" -}}
{{- if hasKey $clock $field -}}
{{- if mod (include "clocksvc.milliseconds" (get $clock $field) | int64) 1000 }}{{ fail (printf "%s.%s: wanted whole seconds" $at $field) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $interval := include "clocksvc.milliseconds" (hasKey $clock "interval" | ternary $clock.interval "60s") | int64 -}}
{{- if or (lt $interval 1000) (gt $interval $day) }}{{ fail (printf "%s.interval: wanted whole seconds from 1s to 1d" $at) }}{{ end -}}
{{- include "clocksvc.checkSource" . -}}
{{- with $clock.heartbeat -}}
{{- if hasKey . "every" -}}
{{- $every := include "clocksvc.milliseconds" .every | int64 -}}
{{- if or (lt $every 1000) (mod $every 1000) (gt $every $interval) -}}
{{- fail (printf "%s.heartbeat.every: wanted whole seconds from 1s to %ds, the interval" $at (div $interval 1000)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $field, $days := dict "max_out_of_orderness" 1 "max_future" 1 "hold_after" 2 -}}
{{- $value := get $clock $field -}}
{{- if and (hasKey $clock $field) (not (kindIs "invalid" $value)) -}}
{{- if gt (include "clocksvc.milliseconds" $value | int64) (mul $days $day) }}{{ fail (printf "%s.%s: wanted 0s to %dd" $at $field $days) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $late := get $clock "max_out_of_orderness" -}}
{{- $least := add (mul 2 $interval) (include "clocksvc.milliseconds" (kindIs "invalid" $late | or (not (hasKey $clock "max_out_of_orderness")) | ternary "10s" $late) | int64) -}}
{{- if lt (include "clocksvc.milliseconds" (hasKey $clock "max_past" | ternary (get $clock "max_past") "7d") | int64) $least -}}
{{- fail (printf "%s.max_past: wanted at least %ds: two intervals plus max_out_of_orderness" $at (div $least 1000)) -}}
{{- end -}}
{{- $pace := get $clock "catch_up_pace" -}}
{{- if and (hasKey $clock "catch_up_pace") (not (kindIs "invalid" $pace)) -}}
{{- if or (lt (mulf $pace $interval) 2000.0) (gt (float64 $pace) 1000000.0) }}{{ fail (printf "%s.catch_up_pace: wanted two ticks in each interval or more" $at) }}{{ end -}}
{{- end -}}
{{- $drift := get $clock "max_drift" -}}
{{- if and (hasKey $clock "max_drift") (not (kindIs "invalid" $drift)) -}}
{{- $after := get $clock "hold_after" -}}
{{- $silence := max (mul 2 $interval) 10000 -}}
{{- if and (hasKey $clock "hold_after") (not (kindIs "invalid" $after)) }}{{ $silence = include "clocksvc.milliseconds" $after | int64 }}{{ end -}}
{{- $onTime := add $least $silence -}}
{{- if lt (include "clocksvc.milliseconds" $drift | int64) $onTime -}}
{{- fail (printf "%s.max_drift: wanted at least %ds: two intervals plus max_out_of_orderness plus hold_after" $at (div $onTime 1000)) -}}
{{- end -}}
{{- end -}}
{{- $recent := include "clocksvc.milliseconds" (hasKey $clock "recent_ticks" | ternary (get $clock "recent_ticks") "7d") | int64 -}}
{{- $keep := include "clocksvc.milliseconds" (default "30d" .root.Values.config.tick_log.keep) | int64 -}}
{{- if lt $recent 60000 }}{{ fail (printf "%s.recent_ticks: wanted at least 60s" $at) }}{{ end -}}
{{- if gt $recent $keep }}{{ fail (printf "%s.recent_ticks: wanted at most config.tick_log.keep: older ticks can't be restored" $at) }}{{ end -}}
{{- $log := default "clocksvc-ticks" .root.Values.config.tick_log.topic -}}
{{- range $topic := list $log (printf "%s-checkpoints" $log) -}}
{{- if has $topic $clock.topics }}{{ fail (printf "%s.topics: wanted other topics: %s is a topic of the tick log" $at $topic) }}{{ end -}}
{{- end -}}
{{- if kindIs "map" $clock.schedules -}}
{{- range $topic := list (printf "%s-schedules" .name) (printf "%s-due" .name) -}}
{{- if has $topic (list $log (printf "%s-checkpoints" $log)) }}{{ fail (printf "%s.schedules: wanted another config.tick_log.topic: %s is a topic of these schedules" $at $topic) }}{{ end -}}
{{- if has $topic $clock.topics }}{{ fail (printf "%s.topics: wanted other topics: the scheduler writes %s" $at $topic) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* root, name, clock. Cycles of upstream clocks are found by clocksvc itself. */}}
{{- define "clocksvc.checkSource" -}}
{{- $at := printf "config.clocks.%s" .name -}}
{{- $clock := .clock -}}
{{- if ne (default "reports" $clock.source) "committed" -}}
{{- range $field := list "poll" "drain_delay" -}}
{{- if hasKey $clock $field }}{{ fail (printf "%s.%s: wanted source: committed" $at $field) }}{{ end -}}
{{- end -}}
{{- if $clock.after }}{{ fail (printf "%s.after: wanted source: committed" $at) }}{{ end -}}
{{- else -}}
{{- if has (toString (index .root.Values.config.kafka "topic_ids")) (list "off" "false") }}{{ fail (printf "%s.source: wanted config.kafka.topic_ids: on" $at) }}{{ end -}}
{{- if kindIs "map" $clock.heartbeat }}{{ fail (printf "%s.heartbeat: wanted null, because quiet partitions move without heartbeats" $at) }}{{ end -}}
{{- if and (hasKey $clock "max_drift") (not (kindIs "invalid" $clock.max_drift)) }}{{ fail (printf "%s.max_drift: wanted source: reports" $at) }}{{ end -}}
{{- if and $clock.after (hasKey $clock "max_out_of_orderness") (not (kindIs "invalid" $clock.max_out_of_orderness)) }}{{ fail (printf "%s.max_out_of_orderness: wanted null with after" $at) }}{{ end -}}
{{- $poll := include "clocksvc.milliseconds" (hasKey $clock "poll" | ternary $clock.poll "5s") | int64 -}}
{{- if or (lt $poll 1000) (gt $poll 60000) }}{{ fail (printf "%s.poll: wanted 1s to 60s" $at) }}{{ end -}}
{{- if gt (include "clocksvc.milliseconds" (hasKey $clock "drain_delay" | ternary $clock.drain_delay "15s") | int64) 3600000 }}{{ fail (printf "%s.drain_delay: wanted 0s to 1h" $at) }}{{ end -}}
{{- $interval := include "clocksvc.milliseconds" (hasKey $clock "interval" | ternary $clock.interval "60s") | int64 -}}
{{- $clocks := .root.Values.config.clocks -}}
{{- $name := .name -}}
{{- range $position, $item := $clock.after -}}
{{- $upstream := kindIs "string" $item | ternary (dict "clock" $item) $item -}}
{{- if not (get $upstream "url") -}}
{{- if eq $upstream.clock $name }}{{ fail (printf "%s.after.%d.clock: wanted another clock than this one" $at $position) }}{{ end -}}
{{- $other := get $clocks $upstream.clock -}}
{{- if not $other }}{{ fail (printf "%s.after.%d.clock: %q is none of config.clocks" $at $position $upstream.clock) }}{{ end -}}
{{- $step := include "clocksvc.milliseconds" (hasKey $other "interval" | ternary $other.interval "60s") | int64 -}}
{{- if mod $interval $step }}{{ fail (printf "%s.interval: wanted a multiple of %ds, the interval of the upstream clock %s" $at (div $step 1000) $upstream.clock) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "clocksvc.checkRedis" -}}
{{- $redis := .Values.config.redis -}}
{{- if and $redis.cluster $redis.sentinel }}{{ fail "config.redis.cluster: wanted cluster or sentinel, not both" }}{{ end -}}
{{- if and $redis.cluster (regexMatch "/0*[1-9][0-9]*$" (default "" $redis.url)) }}{{ fail "config.redis.url: wanted database 0, because a cluster has only this database" }}{{ end -}}
{{- if and $redis.url (hasPrefix "redis://" $redis.url) -}}
{{- range $field := list "ssl_ca_file" "ssl_cert_file" "ssl_key_file" -}}
{{- if get $redis $field }}{{ fail (printf "config.redis.%s: wanted only with a rediss:// URL in config.redis.url" $field) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $redis.ssl_key_file (not $redis.ssl_cert_file) }}{{ fail "config.redis.ssl_key_file: wanted only with config.redis.ssl_cert_file" }}{{ end -}}
{{- end -}}

{{/* A duration as whole milliseconds. A number without a unit is seconds. */}}
{{- define "clocksvc.milliseconds" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" . | default "s")) | int64 -}}
{{- else -}}
{{- mulf . 1000 | int64 -}}
{{- end -}}
{{- end -}}
