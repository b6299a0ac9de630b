-- Return all counters, and the checkpoints of all dispatchers.
-- KEYS[1] counters (hash)      all fields
-- KEYS[2] dispatchers (hash)   dispatcher to '<expires ms> <checkpoint ms>'
-- Returns two lists: names and values of the counters; dispatchers and their checkpoints, ms.

local now_ms, dispatchers, checkpoints = store_now(), call('HGETALL', KEYS[2]), {}
for i = 1, #dispatchers, 2 do
  local expires_ms, at_ms = string.match(dispatchers[i + 1], '^(%d+) (%d+)$')
  if expires_ms and tonumber(expires_ms) > now_ms then
    checkpoints[#checkpoints + 1] = dispatchers[i]
    checkpoints[#checkpoints + 1] = at_ms
  end
end
return {call('HGETALL', KEYS[1]), checkpoints}
