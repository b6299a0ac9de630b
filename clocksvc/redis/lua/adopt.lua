-- Mark a store that has no mark of the log.
-- KEYS[1] mark (string)   the mark of the log to which the store belongs
-- ARGV[1] mark
-- Returns 1 if the store has this mark now, else 0.

local mark = redis.call('GET', KEYS[1])
if not mark then
  redis.call('SET', KEYS[1], ARGV[1])
  return 1
end
return mark == ARGV[1] and 1 or 0
