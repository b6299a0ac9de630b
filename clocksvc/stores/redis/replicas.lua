-- The replicas alive.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <digest> <meaning>', and since
-- Returns three items a replica: its name, digest, what the digest stands for.

local now_ms = store_now()
local replicas, answer = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #replicas, 2 do
  local expires_ms, digest, meaning = string.match(replicas[i + 1], '^(%d+) (%S*) (.*)$')
  if expires_ms and tonumber(expires_ms) > now_ms then
    local at = #answer
    answer[at + 1], answer[at + 2], answer[at + 3] = replicas[i], digest, meaning
  end
end
return answer
