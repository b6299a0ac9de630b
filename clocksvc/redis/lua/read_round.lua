-- Return what a leader needs of all clocks of a log for one round, with the pending requests. Renew the lease.
-- KEYS[1] lease (hash)      token
-- KEYS[2] replicas (hash)   replica to '<expires ms> <JSON>'
-- KEYS[3] configs (hash)    since, ms
-- KEYS[4] mark (string)     the mark of the log to which the store belongs
-- KEYS[5] notification (list)   deleted, because this reading contains what it was for
-- Ten keys for each clock:
-- KEYS[6] state (hash)      generation, excluded_count, base_ms, …
-- KEYS[7] roster (zset)     partitions that must report
-- KEYS[8] excluded (zset)   excluded partitions
-- KEYS[9] ticks (stream)    recent ticks
-- KEYS[10] requests (hash)   id to '<expires ms> <1 if a leader has read it, else 0> <JSON>'
-- KEYS[11] parameters (string)   the parameters for reports
-- KEYS[12] signals (hash)   boundary_crossed_at_ms, unknown_seen_ms, create_time_seen_ms; leader_seen_ms is written
-- KEYS[13] reported (hash)  deleted if it has another type
-- KEYS[14] rejected (hash)  the same
-- KEYS[15] counters (hash)  the same
-- ARGV[1] token, [2] TTL ms
-- Returns {now ms, announcements complete since ms or '', {replica, JSON, …}, mark or '', ms for which the lease was still
-- valid, {one item for each clock}}.
-- The item of a clock is nil if the store has lost some of its data, or if the token has not claimed it. Otherwise:
-- {lowest raw ms or '', number of partitions, generation, end of the stream ms or '', boundary crossed at ms or '',
-- unknown seen ms, create time seen ms, out-of-orderness ms, 1 while restoring or '', {request JSON…}}.
-- Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local left_ms = redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[5])
local now_ms = store_now()

-- Returns the pending requests of a clock: new ones, which are marked as read, and those that a leader has read before.
local function hand_out(requests_key)
  local requests, handed = redis.call('HGETALL', requests_key), {}
  for i = 1, #requests, 2 do
    local expires_ms, seen, json = string.match(requests[i + 1], '^(%d+) ([01]) (.*)$')
    if expires_ms and (seen == '1' or tonumber(expires_ms) > now_ms) then
      handed[#handed + 1] = json
      if seen == '0' then
        redis.call('HSET', requests_key, requests[i], expires_ms .. ' 1 ' .. json)
      end
    end
  end
  return handed
end

-- Returns a time that a report has written; `missing` if it is none, because consumers can write anything.
local function milliseconds(text, missing)
  return text and string.match(text, '^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$') or missing
end

-- Returns the item of one clock; false, which is nil for the caller, if the store has lost some of its data.
local function progress(
  state_key, roster, excluded, ticks, requests, parameters, signals_key, reported, rejected, counters)
  -- First, because the leader can't write a clock's part of the store while a key has another type.
  local required, spared = call('ZCARD', roster), call('ZCARD', excluded)
  call('XLEN', ticks)
  for _, hash in ipairs({signals_key, reported, rejected, counters}) do
    call('HLEN', hash)
  end
  local state = redis.call(
    'HMGET', state_key, 'format', 'generation', 'excluded_count', 'group', 'roster_group', 'claimed_by', 'max_drift_ms',
    'out_of_orderness_ms', 'restoring')
  -- A failover can bring back parameters from before the leader's term. The leader must write its own ones again.
  if not state[1] or not state[2] or state[6] ~= ARGV[1] or spared ~= tonumber(state[3])
    or redis.call('EXISTS', parameters) == 0 then
    return false
  end
  if state[7] ~= '' then
    redis.call('HSET', signals_key, 'leader_seen_ms', now_ms)
  end
  local signals = redis.call('HMGET', signals_key, 'boundary_crossed_at_ms', 'unknown_seen_ms', 'create_time_seen_ms')
  -- After a change of the group, all partitions are unknown, even before the roster was written again.
  local minimum = state[4] == state[5] and lowest(roster)
  return {
    minimum or '', required, state[2], chain_end(ticks, state_key) or '', milliseconds(signals[1], ''),
    milliseconds(signals[2], '0'), milliseconds(signals[3], '0'), state[8], state[9] or '', hand_out(requests)}
end

local announcements, since_ms = live_announcements(KEYS[2], KEYS[3], now_ms)
local clocks = {}
for i = 6, #KEYS, 10 do
  clocks[#clocks + 1] = progress(unpack(KEYS, i, i + 9))
end
return {now_ms, since_ms, announcements, redis.call('GET', KEYS[4]) or '', left_ms, clocks}
