-- Functions for a clock's keys, used by several scripts. scripts.py lists the scripts that this file is prepended to.

local LEASE_LOST = {err = 'LEASELOST another process leads this clock now'}

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
-- empty, it is `base_ms`, which a rebuild has set. nil if both are missing.
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

-- If the minimum has reached a boundary after the last tick: store the time, unless it is stored already, and notify
-- the leader.
local function note_crossing(state, roster, list, end_ms, now_ms)
  local bounds = redis.call('HMGET', state, 'interval_ms', 'out_of_orderness_ms', 'crossed_ms')
  if not bounds[1] or bounds[3] then
    return
  end
  local minimum = lowest(roster)
  if not minimum then
    return
  end
  local reached = minimum - bounds[2]
  if reached - reached % bounds[1] > (end_ms or 0) then
    redis.call('HSET', state, 'crossed_ms', now_ms)
    notify(list)
  end
end
