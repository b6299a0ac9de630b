-- Store that a task is done.
-- KEYS[1] done-tasks (zset)   task id with the end of its retention, ms; expires with the last of them
-- ARGV[1] task id, [2] retention ms, [3] the maximum number of ids
-- Returns the number of stored ids.

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
