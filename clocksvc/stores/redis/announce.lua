-- Say that a replica with a configuration digest is alive, and forget those that no longer are.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <digest> <meaning>'; since: from when on none was lost, ms;
--                           expires with the last of them
-- ARGV[1] replica, [2] digest, [3] TTL ms; 0 takes the announcement back, [4] what the digest stands for
-- Returns how many are alive.

local now_ms = store_now()
if tonumber(ARGV[3]) > 0 then
  redis.call('HSETNX', KEYS[1], 'since', now_ms)
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s %s', now_ms + ARGV[3], ARGV[2], ARGV[4]))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local replicas = redis.call('HGETALL', KEYS[1])
local alive, last_ms = 0, 0
for i = 1, #replicas, 2 do
  local expires_ms = tonumber(string.match(replicas[i + 1], '^(%d+) '))
  if expires_ms and expires_ms <= now_ms then
    redis.call('HDEL', KEYS[1], replicas[i])
  elseif expires_ms then
    alive = alive + 1
    last_ms = math.max(last_ms, expires_ms)
  end
end
if alive > 0 then
  redis.call('PEXPIREAT', KEYS[1], last_ms)
else
  redis.call('DEL', KEYS[1])
end
return alive
