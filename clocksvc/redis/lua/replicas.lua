-- Return the live replicas.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <digest>'
-- KEYS[2] heard (hash)      digest to its configuration, JSON
-- Returns three items for each replica: name, digest, configuration or ''.

local now_ms = store_now()
local replicas, answer = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #replicas, 2 do
  local expires_ms, digest = string.match(replicas[i + 1], '^(%d+) (%S*)')
  if expires_ms and tonumber(expires_ms) > now_ms then
    local at = #answer
    answer[at + 1], answer[at + 2] = replicas[i], digest
    answer[at + 3] = redis.call('HGET', KEYS[2], digest) or ''
  end
end
return answer
