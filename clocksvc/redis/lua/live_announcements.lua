-- Reads announcements. Prepended to scripts as listed in scripts.py.

-- Returns the live replicas: replica, JSON, replica, JSON, …; and since when announcements are complete, ms, or ''.
local function live_announcements(replicas_key, configs_key, now_ms)
  local replicas, live = redis.call('HGETALL', replicas_key), {}
  for i = 1, #replicas, 2 do
    local expires_ms, json = string.match(replicas[i + 1], '^(%d+) (.*)$')
    if expires_ms and tonumber(expires_ms) > now_ms then
      live[#live + 1] = replicas[i]
      live[#live + 1] = json
    end
  end
  return live, #replicas > 0 and redis.call('HGET', configs_key, 'since') or ''
end
