-- The replicas alive.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <digest>'
-- KEYS[2] heard (hash)      digest to what it stands for
-- Returns three items a replica: its name, digest, what the digest stands for, '' where nobody said it.

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
