-- Write the results of requests and remove the requests.
-- KEYS[1] lease (hash)      token
-- KEYS[2] requests (hash)   those with a result are removed
-- KEYS[3] results (hash)    id to '<expires ms> <JSON>'; expires with the last of them
-- ARGV[1] token, [2] TTL ms, [3…] id, JSON
-- Returns the number of stored results. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local now_ms = store_now()
local last_ms = now_ms + ARGV[2]
for i = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[i], string.format('%.0f ', last_ms) .. ARGV[i + 1])
  redis.call('HDEL', KEYS[2], ARGV[i])
end
local results = redis.call('HGETALL', KEYS[3])
local kept = 0
for i = 1, #results, 2 do
  local expires_ms = tonumber(string.match(results[i + 1], '^%d+'))
  if expires_ms <= now_ms then
    redis.call('HDEL', KEYS[3], results[i])
  else
    kept = kept + 1
    last_ms = math.max(last_ms, expires_ms)
  end
end
if kept > 0 then
  redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', last_ms))
end
return kept
