-- Say that a replica with a configuration digest is alive, and forget those that no longer are.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <digest>'; expires with the last of them
-- ARGV[1] replica, [2] digest, [3] TTL ms; 0 takes the announcement back
-- Returns how many are alive.

local now_ms = store_now()
if tonumber(ARGV[3]) > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now_ms + ARGV[3], ARGV[2]))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local replicas = redis.call('HGETALL', KEYS[1])
local alive, last_ms = 0, 0
for i = 1, #replicas, 2 do
  local expires_ms = tonumber(string.match(replicas[i + 1], '^%d+'))
  if expires_ms <= now_ms then
    redis.call('HDEL', KEYS[1], replicas[i])
  else
    alive = alive + 1
    last_ms = math.max(last_ms, expires_ms)
  end
end
if alive > 0 then
  redis.call('PEXPIREAT', KEYS[1], last_ms)
end
return alive
