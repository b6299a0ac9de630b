-- Add to a dispatcher's counters, and store its checkpoint.
-- KEYS[1] counters (hash)      tasks:<JSON [dispatcher, namespace, queue, outcome]>
-- KEYS[2] dispatchers (hash)   dispatcher to '<expires ms> <checkpoint ms>'; expires with the last of them
-- ARGV[1] dispatcher, [2] checkpoint ms or '', [3] TTL of the checkpoint ms; [4…] JSON, number
-- Returns 1.

for i = 4, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], 'tasks:' .. ARGV[i], ARGV[i + 1])
end
if ARGV[2] == '' then
  return 1
end
local now_ms = store_now()
local furthest, last_ms = tonumber(ARGV[2]), now_ms + ARGV[3]
local dispatchers = redis.call('HGETALL', KEYS[2])
for i = 1, #dispatchers, 2 do
  local expires_ms, at_ms = string.match(dispatchers[i + 1], '^(%d+) (%d+)$')
  if tonumber(expires_ms or 0) <= now_ms then
    redis.call('HDEL', KEYS[2], dispatchers[i])
  elseif dispatchers[i] == ARGV[1] then
    furthest = math.max(furthest, tonumber(at_ms))
  else
    last_ms = math.max(last_ms, tonumber(expires_ms))
  end
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f %.0f', now_ms + ARGV[3], furthest))
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', last_ms))
return 1
