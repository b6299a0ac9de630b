-- Functions for the keys of a clock and of its log. Prepended to scripts as listed in scripts.py.

local LEASE_LOST = {err = 'LEASELOST another process leads this log now'}

-- The server's time, ms.
local function store_now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Returns true if a token has the lease.
local function leads(lease, token)
  return redis.call('HGET', lease, 'token') == token
end

-- Returns the time of the last tick, ms; nil if there is no tick.
local function last_tick(ticks)
  local last = redis.call('XREVRANGE', ticks, '+', '-', 'COUNT', 1)[1]
  return last and tonumber(string.match(last[1], '^%d+')) * 1000
end

-- Returns the time of the tick that the next tick follows, ms. This is the last tick in the stream. If the stream is
-- empty, it is `base_ms`, which the beginning of the stream has set. nil if both are missing.
local function chain_end(ticks, state)
  return last_tick(ticks) or tonumber(redis.call('HGET', state, 'base_ms') or '')
end

-- Returns the lowest raw timestamp of a roster, ms; nil if the roster is empty or a partition is unknown.
local function lowest(roster)
  local first = redis.call('ZRANGE', roster, 0, 0, 'WITHSCORES')
  if first[2] and first[2] ~= '-inf' then
    return tonumber(first[2])
  end
end

-- Notify the leader.
local function notify(list)
  if redis.call('EXISTS', list) == 0 then
    redis.call('RPUSH', list, 1)
    redis.call('PEXPIRE', list, 60000)
  end
end

-- If the minimum has reached a boundary after the end of the stream: store the time and notify the leader, unless the
-- time is stored already. Otherwise, remove the time.
local function update_crossing(state, roster, list, end_ms, now_ms)
  local fields = redis.call(
    'HMGET', state, 'interval_ms', 'out_of_orderness_ms', 'boundary_crossed_at_ms', 'group', 'roster_group')
  local minimum = fields[1] and fields[4] == fields[5] and lowest(roster)
  local crossed = false
  if minimum then
    local reached = minimum - fields[2]
    crossed = reached - reached % fields[1] > (end_ms or 0)
  end
  if crossed and not fields[3] then
    redis.call('HSET', state, 'boundary_crossed_at_ms', now_ms)
    notify(list)
  elseif fields[3] and not crossed then
    redis.call('HDEL', state, 'boundary_crossed_at_ms')
  end
end
