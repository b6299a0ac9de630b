-- Functions for the keys of a clock and of its log. Prepended to scripts as listed in scripts.py.

local LEASE_LOST = {err = 'LEASELOST the lease is not in the store any more, or another process leads this log now'}

-- The server's time, ms.
local function store_now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Returns the result of a command on a key that consumers can create. A key of another type is deleted first: otherwise
-- one consumer could stop all clocks of the log.
local function call(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then
    return answer
  end
  if string.find(answer.err, 'WRONGTYPE', 1, true) then
    redis.call('DEL', key)
  end
  return redis.call(command, key, ...)
end

-- The fields of `state` that reports need. They read a copy, the string `parameters`: consumers have the permission for
-- commands that write hashes, and none that writes a string.
local PARAMETERS = {
  'format', 'group', 'topics', 'interval_ms', 'out_of_orderness_ms', 'max_future_ms', 'max_drift_ms', 'roster_group',
  'recreated', 'base_ms', 'roster'}

local function named(values)
  local parameters = {}
  for i, name in ipairs(PARAMETERS) do
    parameters[name] = values[i] or nil
  end
  return parameters
end

-- Returns the parameters in `state`, by name.
local function state_parameters(state)
  return named(redis.call('HMGET', state, unpack(PARAMETERS)))
end

-- Copy the parameters from `state` to the string that reports read, and return them by name.
local function export_parameters(state, copy)
  local values = redis.call('HMGET', state, unpack(PARAMETERS))
  redis.call('SET', copy, cjson.encode(values))
  return named(values)
end

-- Returns the parameters in the copy, by name; nil if there is no copy.
local function read_parameters(copy)
  local text = redis.call('GET', copy)
  return text and named(cjson.decode(text))
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

-- Notify the leader. The list has no TTL, so that consumers need no permission to set one: it could delete other keys.
local function notify(list)
  if redis.call('EXISTS', list) == 0 then
    redis.call('RPUSH', list, 1)
  end
end

-- If the minimum has reached a boundary after the end of the stream: store the time and notify the leader, unless the
-- time is stored already. Otherwise, remove the time.
local function update_crossing(parameters, signals, roster, list, end_ms, now_ms)
  local crossed_ms = call('HGET', signals, 'boundary_crossed_at_ms')
  local minimum = parameters.interval_ms and parameters.group == parameters.roster_group and lowest(roster)
  local crossed = false
  if minimum then
    local reached = minimum - parameters.out_of_orderness_ms
    crossed = reached - reached % parameters.interval_ms > (end_ms or 0)
  end
  if crossed and not crossed_ms then
    redis.call('HSET', signals, 'boundary_crossed_at_ms', now_ms)
    notify(list)
  elseif crossed_ms and not crossed then
    redis.call('HDEL', signals, 'boundary_crossed_at_ms')
  end
end
