-- Submit a request to the leader, and notify it.
-- KEYS[1] requests (hash)       id to '<expires ms> <1 if a leader has read it, else 0> <JSON>'; expires
-- KEYS[2] results (hash)        id to '<expires ms> <JSON>'
-- KEYS[3] notification (list)   the leader's notification
-- ARGV[1] id, [2] expires ms, [3] JSON, [4] the maximum number of pending requests, [5] retention after expiry ms
-- Returns 1 if the request is submitted now, was submitted before, or has a result; 0 if it has expired, or too many
-- requests are pending.

local now_ms = store_now()
if redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HGET', KEYS[2], ARGV[1]) then
  notify(KEYS[3])
  return 1
end
if tonumber(ARGV[2]) <= now_ms then
  return 0
end
local requests = redis.call('HGETALL', KEYS[1])
local waiting, last_ms, ended = 0, tonumber(ARGV[2]), {}
for i = 1, #requests, 2 do
  local expires_ms = tonumber(string.match(requests[i + 1], '^%d+') or 0)
  if expires_ms + ARGV[5] <= now_ms then
    ended[#ended + 1] = requests[i]
  else
    waiting = waiting + 1
    last_ms = math.max(last_ms, expires_ms)
  end
end
if waiting >= tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' 0 ' .. ARGV[3])
if #ended > 0 then
  redis.call('HDEL', KEYS[1], unpack(ended))
end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last_ms + ARGV[5]))
notify(KEYS[3])
return 1
