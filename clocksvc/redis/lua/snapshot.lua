-- A clock as a reader sees it, at one moment.
-- KEYS[1] state (hash)        bounds, started_ms, standing
-- KEYS[2] roster (zset)       partitions that must report
-- KEYS[3] excluded (zset)     partitions that need not
-- KEYS[4] reported (hash)     when each was last reported
-- KEYS[5] refused (hash)      why each one's newest report was refused
-- KEYS[6] ticks (stream)      recent ticks
-- KEYS[7] lease (hash)        holder
-- KEYS[8] verdict (string)    JSON
-- ARGV[1] how many of the slowest partitions
-- Returns {now ms, last tick's ms, holder, verdict, started_ms, required, unknown, excluded, bounds, slowest,
-- standing}, where
-- bounds = {group, topics, interval_ms, out_of_orderness_ms, max_future_ms}, {} without; slowest: see partition_lines.lua.
-- What is missing is ''.

local state = redis.call(
  'HMGET', KEYS[1], 'group', 'topics', 'interval_ms', 'out_of_orderness_ms', 'max_future_ms', 'started_ms',
  'standing')
local slowest = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1, 'WITHSCORES')
return {
  store_now(),
  last_tick(KEYS[6]) or '',
  redis.call('HGET', KEYS[7], 'holder') or '',
  redis.call('GET', KEYS[8]) or '',
  state[6] or '',
  redis.call('ZCARD', KEYS[2]),
  redis.call('ZCOUNT', KEYS[2], '-inf', '-inf'),
  redis.call('ZCARD', KEYS[3]),
  state[1] and {state[1], state[2], state[3], state[4], state[5]} or {},
  lines_with_scores(slowest, KEYS[4], KEYS[5]),
  state[7] or '',
}
