-- Append ticks, and remove the oldest ticks. The first new tick must follow the last tick of the stream.
-- KEYS[1] lease (hash)          token
-- KEYS[2] ticks (stream)        recent ticks
-- KEYS[3] state (hash)          base_ms, the clock's parameters
-- KEYS[4] roster (zset)         partitions that must report
-- KEYS[5] notification (list)   the leader's notification
-- KEYS[6] notices (stream)      a notice is added
-- KEYS[7] signals (hash)        boundary_crossed_at_ms is removed, or set if the next boundary is reached
-- ARGV[1] token, [2] the expected end of the stream, ms, '' for none, [3] retention of ticks, ms, [4] clock
-- ARGV[5…] five items for each tick: see append.lua
-- Returns the server's time, ms. Errors: LEASELOST, CHAINBROKEN.

local TRIM_AT_ONCE = 200
if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local now_ms = store_now()
if #ARGV == 4 then
  return now_ms
end
local end_ms = chain_end(KEYS[2], KEYS[3])
if end_ms ~= tonumber(ARGV[2]) then
  return redis.error_reply(string.format(
    "CHAINBROKEN the store's last tick is %s ms, but the previous tick of the new tick %s is %s ms",
    end_ms or 'no', ARGV[5], ARGV[2]))
end
append(KEYS[2], 5)

local function emitted_ms(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'e' then
      return tonumber(fields[i + 1])
    end
  end
end

-- Remove the ticks that were emitted before the horizon, but never the last tick. One call removes at most TRIM_AT_ONCE
-- ticks more than it has appended.
local function trim(horizon_ms)
  if emitted_ms(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]) >= horizon_ms then
    return
  end
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', (#ARGV - 4) / 5 + TRIM_AT_ONCE)
  local keep = #oldest
  for i, entry in ipairs(oldest) do
    if emitted_ms(entry) >= horizon_ms then
      keep = i
      break
    end
  end
  redis.call('XTRIM', KEYS[2], 'MINID', '=', oldest[keep][1])
end

trim(now_ms - ARGV[3])
call('HDEL', KEYS[7], 'boundary_crossed_at_ms')
update_crossing(state_parameters(KEYS[3]), KEYS[7], KEYS[4], KEYS[5], last_tick(KEYS[2]), now_ms)
add_notice(KEYS[6], ARGV[4])
return now_ms
