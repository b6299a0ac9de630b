-- Return the ends of the streams of ticks of some clocks of a log, at one moment.
-- Two keys for each clock:
-- KEYS[1] ticks (stream)   recent ticks
-- KEYS[2] state (hash)     base_ms, stream, restoring
-- Returns one item for each clock: {last tick ms or '', base_ms or '', '1' if a leader has begun the stream or '', '1'
-- while older ticks will be restored or ''}. If a key of the clock has another type, its item is the error's text.

local function read(ticks, state_key)
  local state = redis.call('HMGET', state_key, 'base_ms', 'stream', 'restoring')
  return {last_tick(ticks) or '', state[1] or '', state[2] or '', state[3] or ''}
end

local items = {}
for i = 1, #KEYS, 2 do
  items[#items + 1] = guarded(read, unpack(KEYS, i, i + 1))
end
return items
