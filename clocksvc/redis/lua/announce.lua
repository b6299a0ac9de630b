-- Announce a live replica with its configuration digest, and remove the replicas that have expired.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <digest>', nothing else; expires with the last of them
-- KEYS[2] heard (hash)      since: no announcement was lost after this time, ms; digest to its configuration; expires
--                           with replicas
-- ARGV[1] replica, [2] digest, [3] TTL ms, 0 to withdraw the announcement, [4] the configuration, JSON
-- Returns the number of live replicas.

local now_ms = store_now()
if tonumber(ARGV[3]) > 0 then
  local since_ms = tonumber(redis.call('HGET', KEYS[2], 'since') or '')
  -- If the time is in the future, the server's clock was set back. Leaders would then wait until this time is reached.
  if redis.call('EXISTS', KEYS[1]) == 0 or not since_ms or since_ms > now_ms then
    redis.call('HSET', KEYS[2], 'since', now_ms)
  end
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now_ms + ARGV[3], ARGV[2]))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local replicas = redis.call('HGETALL', KEYS[1])
local alive, last_ms, stands = 0, 0, {since = true}
for i = 1, #replicas, 2 do
  local expires_ms, digest = string.match(replicas[i + 1], '^(%d+) (%S*)')
  if expires_ms and tonumber(expires_ms) > now_ms then
    alive = alive + 1
    last_ms = math.max(last_ms, tonumber(expires_ms))
    stands[digest] = true
  else
    redis.call('HDEL', KEYS[1], replicas[i])
  end
end
local heard = redis.call('HGETALL', KEYS[2])
for i = 1, #heard, 2 do
  if not stands[heard[i]] then
    redis.call('HDEL', KEYS[2], heard[i])
  end
end
if alive > 0 then
  redis.call('PEXPIREAT', KEYS[1], last_ms)
  redis.call('PEXPIREAT', KEYS[2], last_ms)
else
  redis.call('DEL', KEYS[1], KEYS[2])
end
return alive
