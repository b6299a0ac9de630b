-- All that is counted.
-- KEYS[1] counters (hash)   read whole
-- KEYS[2] senders (hash)    sender to '<expires ms> <position ms>'
-- Returns two lists: names and values of the counters; senders and their positions in ms.

local now_ms, senders, positions = store_now(), redis.call('HGETALL', KEYS[2]), {}
for i = 1, #senders, 2 do
  local expires_ms, at_ms = string.match(senders[i + 1], '^(%d+) (%d+)$')
  if expires_ms and tonumber(expires_ms) > now_ms then
    positions[#positions + 1] = senders[i]
    positions[#positions + 1] = at_ms
  end
end
return {redis.call('HGETALL', KEYS[1]), positions}
