-- Remember that a task has been run to its end.
-- KEYS[1] finished (zset)   id, with the time in ms until which it is remembered; expires with the last of them
-- ARGV[1] id, [2] for how long, ms, [3] how many are remembered at most
-- Returns how many are.

local now_ms = store_now()
redis.call('ZADD', KEYS[1], string.format('%.0f', now_ms + ARGV[2]), ARGV[1])
local old = redis.call('ZCOUNT', KEYS[1], '-inf', now_ms)
old = math.max(old, redis.call('ZCARD', KEYS[1]) - ARGV[3])
if old > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, old - 1)
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then
  redis.call('PEXPIREAT', KEYS[1], last[2])
end
return redis.call('ZCARD', KEYS[1])
