-- What several scripts ask of a clock's keys. Put in front of those that say so in scripts.py.

local LEASE_LOST = {err = 'LEASELOST another process leads this clock now'}

-- The store's own clock, ms.
local function store_now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether a token holds the lease.
local function leads(lease, token)
  return redis.call('HGET', lease, 'token') == token
end

-- The last tick's time in ms; nil without one.
local function last_tick(ticks)
  local last = redis.call('XREVRANGE', ticks, '+', '-', 'COUNT', 1)[1]
  return last and tonumber(string.match(last[1], '^%d+')) * 1000
end

-- What the next tick must name, ms: the last one, or what a rebuild said where there is none; nil without either.
local function chain_end(ticks, state)
  return last_tick(ticks) or tonumber(redis.call('HGET', state, 'base_ms') or '')
end

-- The lowest raw timestamp of a roster in ms; nil while one is unknown or there is none.
local function lowest(roster)
  local first = redis.call('ZRANGE', roster, 0, 0, 'WITHSCORES')
  if first[2] and first[2] ~= '-inf' then
    return tonumber(first[2])
  end
end

-- Ask for the leader's attention.
local function notify(list)
  if redis.call('EXISTS', list) == 0 then
    redis.call('RPUSH', list, 1)
    redis.call('PEXPIRE', list, 60000)
  end
end

-- Note when the minimum first stood at a boundary after the chain's end, and wake the leader.
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
