-- Reads the state of a clock for readers. Prepended to scripts as listed in scripts.py.

-- Returns the replica that has a log's lease, or ''; and the digests that it has announced, by clock; nil if it has
-- announced none.
local function leader_and_digests(lease_key, replicas_key)
  local leader = redis.call('HGET', lease_key, 'replica') or ''
  local announced = redis.call('HGET', replicas_key, leader)
  local json = announced and string.match(announced, '^%d+ (.*)$')
  return leader, json and cjson.decode(json).digests
end

-- Returns {now ms, last tick ms, leader, leader status, started_ms, required, unknown, excluded, rejected, parameters,
-- slowest, operator overrides, 1 if the leader has announced other clocks only, observation}, with '' for missing
-- values.
-- parameters: {group, topics, interval_ms, out_of_orderness_ms, max_future_ms, max_drift_ms}, or {}.
-- slowest: see partition_lines.lua, at most `most` partitions.
local function clock_snapshot(
  now_ms, leader, digests, clock, most, state_key, roster, excluded, reported, rejected, observed, ticks, status,
  observation)
  local state = redis.call(
    'HMGET', state_key, 'group', 'topics', 'interval_ms', 'out_of_orderness_ms', 'max_future_ms', 'max_drift_ms',
    'started_ms', 'overrides')
  return {
    now_ms,
    last_tick(ticks) or '',
    leader,
    redis.call('GET', status) or '',
    state[7] or '',
    redis.call('ZCARD', roster),
    redis.call('ZCOUNT', roster, '-inf', '-inf'),
    redis.call('ZCARD', excluded),
    call('HLEN', rejected),
    state[1] and {state[1], state[2], state[3], state[4], state[5], state[6]} or {},
    lines_with_scores(redis.call('ZRANGE', roster, 0, most - 1, 'WITHSCORES'), reported, rejected, observed),
    state[8] or '',
    digests and not digests[clock] and 1 or '',
    redis.call('GET', observation) or '',
  }
end
