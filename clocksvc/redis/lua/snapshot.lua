-- Return the state of a clock for readers, at one moment.
-- KEYS[1] state (hash)        the clock's parameters, started_ms, overrides
-- KEYS[2] roster (zset)       partitions that must report
-- KEYS[3] excluded (zset)     excluded partitions
-- KEYS[4] reported (hash)     when each was last reported, ms
-- KEYS[5] rejected (hash)     why the last report of each was rejected
-- KEYS[6] ticks (stream)      recent ticks
-- KEYS[7] lease (hash)        replica
-- KEYS[8] status (string)     the leader's status, JSON
-- KEYS[9] replicas (hash)     replica to '<expires ms> <JSON with digests by clock>'
-- ARGV[1] the number of slowest partitions, [2] the clock's name
-- Returns {now ms, last tick ms, leader, leader status, started_ms, required, unknown, excluded, rejected, parameters,
-- slowest, operator overrides, 1 if the leader has announced other clocks only}, with '' for missing values.
-- parameters: {group, topics, interval_ms, out_of_orderness_ms, max_future_ms, max_drift_ms}, or {}.
-- slowest: see partition_lines.lua.

local state = redis.call(
  'HMGET', KEYS[1], 'group', 'topics', 'interval_ms', 'out_of_orderness_ms', 'max_future_ms', 'max_drift_ms',
  'started_ms', 'overrides')
local leader = redis.call('HGET', KEYS[7], 'replica') or ''
local announced = redis.call('HGET', KEYS[9], leader)
local json = announced and string.match(announced, '^%d+ (.*)$')
local slowest = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1, 'WITHSCORES')
return {
  store_now(),
  last_tick(KEYS[6]) or '',
  leader,
  redis.call('GET', KEYS[8]) or '',
  state[7] or '',
  redis.call('ZCARD', KEYS[2]),
  redis.call('ZCOUNT', KEYS[2], '-inf', '-inf'),
  redis.call('ZCARD', KEYS[3]),
  call('HLEN', KEYS[5]),
  state[1] and {state[1], state[2], state[3], state[4], state[5], state[6]} or {},
  lines_with_scores(slowest, KEYS[4], KEYS[5]),
  state[8] or '',
  json and not cjson.decode(json).digests[ARGV[2]] and 1 or '',
}
