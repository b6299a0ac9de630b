-- Announce a live replica, and remove the replicas that have expired, with the configurations that only they had.
-- KEYS[1] replicas (hash)   replica to '<expires ms> <JSON>', nothing else; expires with the last of them
-- KEYS[2] configs (hash)    since: no announcement was lost after this time, ms; digest to its configuration; expires
--                           with replicas
-- ARGV[1] replica, [2] TTL ms, 0 to withdraw the announcement, [3] JSON with `digests`; [4…] digest, configuration
-- Returns 1 if configs has the configuration of each announced digest, else 0.

local now_ms = store_now()
if tonumber(ARGV[2]) > 0 then
  local since_ms = tonumber(redis.call('HGET', KEYS[2], 'since') or '')
  -- If the time is in the future, the server's clock was set back. Leaders would then wait until this time is reached.
  if redis.call('EXISTS', KEYS[1]) == 0 or not since_ms or since_ms > now_ms then
    redis.call('HSET', KEYS[2], 'since', now_ms)
  end
  for i = 4, #ARGV, 2 do
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now_ms + ARGV[2], ARGV[3]))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end

local replicas = redis.call('HGETALL', KEYS[1])
local last_ms, used = 0, {since = true}
for i = 1, #replicas, 2 do
  local expires_ms, json = string.match(replicas[i + 1], '^(%d+) (.*)$')
  if expires_ms and tonumber(expires_ms) > now_ms then
    last_ms = math.max(last_ms, tonumber(expires_ms))
    for _, digest in pairs(cjson.decode(json).digests) do
      used[digest] = true
    end
  else
    redis.call('HDEL', KEYS[1], replicas[i])
  end
end
if last_ms == 0 then
  redis.call('DEL', KEYS[1], KEYS[2])
  return 1
end
for _, digest in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not used[digest] then
    redis.call('HDEL', KEYS[2], digest)
  end
end
redis.call('PEXPIREAT', KEYS[1], last_ms)
redis.call('PEXPIREAT', KEYS[2], last_ms)
for _, digest in pairs(cjson.decode(ARGV[3]).digests) do
  if redis.call('HEXISTS', KEYS[2], digest) == 0 then
    return 0
  end
end
return 1
