-- Test whether a task is done already. If it is, count a duplicate.
-- KEYS[1] done-tasks (zset) task id with the end of its retention, ms
-- KEYS[2] counters (hash)   task_duplicates
-- ARGV[1] task id
-- Returns 1 or 0.

local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
if until_ms and tonumber(until_ms) > store_now() then
  redis.call('HINCRBY', KEYS[2], 'task_duplicates', 1)
  return 1
end
return 0
