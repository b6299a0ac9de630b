-- Append ticks of some clocks, and remove their oldest ticks. The first new tick must follow the last tick of the stream.
-- KEYS[1] lease (hash)          token
-- KEYS[2] notification (list)   the leader's notification
-- KEYS[3] notices (stream)      a notice is added for each clock
-- Four keys for each clock:
-- KEYS[4] ticks (stream)        recent ticks
-- KEYS[5] state (hash)          base_ms, the clock's parameters
-- KEYS[6] roster (zset)         partitions that must report
-- KEYS[7] signals (hash)        boundary_crossed_at_ms is removed, or set if the next boundary is reached
-- ARGV[1] token
-- ARGV[2…] for each clock: the expected end of the stream, ms, '' for none; retention of ticks, ms; clock; the number of
-- ticks; and five items for each tick: see append.lua
-- Returns {the server's time, ms, {for each clock '', or why its ticks do not follow its stream: it is unchanged}}.
-- Errors: LEASELOST.

local TRIM_AT_ONCE = 200
if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local now_ms = store_now()

local function emitted_ms(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'e' then
      return tonumber(fields[i + 1])
    end
  end
end

-- Remove the ticks that were emitted before the horizon, but never the last tick. Removes at most TRIM_AT_ONCE ticks
-- more than were appended.
local function trim(ticks, horizon_ms, appended)
  if emitted_ms(redis.call('XRANGE', ticks, '-', '+', 'COUNT', 1)[1]) >= horizon_ms then
    return
  end
  local oldest = redis.call('XRANGE', ticks, '-', '+', 'COUNT', appended + TRIM_AT_ONCE)
  local keep = #oldest
  for i, entry in ipairs(oldest) do
    if emitted_ms(entry) >= horizon_ms then
      keep = i
      break
    end
  end
  redis.call('XTRIM', ticks, 'MINID', '=', oldest[keep][1])
end

-- Publish the ticks of one clock, of which the arguments begin at ARGV[first].
local function publish(ticks, state, roster, signals, first, count)
  if count == 0 then
    return ''
  end
  local end_ms = chain_end(ticks, state)
  if end_ms ~= tonumber(ARGV[first]) then
    return string.format(
      "the store's last tick is %s ms, but the previous tick of the new tick %s is %s ms",
      end_ms or 'no', ARGV[first + 4], ARGV[first])
  end
  append(ticks, first + 4, first + 3 + 5 * count)
  trim(ticks, now_ms - ARGV[first + 1], count)
  call('HDEL', signals, 'boundary_crossed_at_ms')
  update_crossing(state_parameters(state), signals, roster, KEYS[2], last_tick(ticks), now_ms)
  add_notice(KEYS[3], ARGV[first + 2])
  return ''
end

local broken, at = {}, 2
for i = 4, #KEYS, 4 do
  local count = tonumber(ARGV[at + 3])
  broken[#broken + 1] = publish(KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3], at, count)
  at = at + 4 + 5 * count
end
return {now_ms, broken}
