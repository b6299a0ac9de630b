-- Return the ends of the streams of ticks of some clocks of a log, at one moment.
-- Two keys for each clock:
-- KEYS[1] ticks (stream)   recent ticks
-- KEYS[2] state (hash)     base_ms, stream, restoring
-- ARGV[1] the maximum number of ticks of each clock, [2…] for each clock the id after which its ticks are returned; '' for
-- the newest ones
-- Returns one item for each clock: {ticks, last tick ms or '', base_ms or '', '1' if a leader has begun the stream or '',
-- '1' while older ticks will be restored or ''}. Ticks: {id, {field, value, …}}, the newest ones descending, otherwise
-- ascending. If a key of the clock has another type, its item is the error's text.

local function read(after_id, ticks, state_key)
  local state = redis.call('HMGET', state_key, 'base_ms', 'stream', 'restoring')
  local found
  if after_id == '' then
    found = redis.call('XREVRANGE', ticks, '+', '-', 'COUNT', ARGV[1])
  else
    found = redis.call('XRANGE', ticks, '(' .. after_id, '+', 'COUNT', ARGV[1])
  end
  return {found, last_tick(ticks) or '', state[1] or '', state[2] or '', state[3] or ''}
end

local items = {}
for i = 1, #KEYS, 2 do
  items[#items + 1] = guarded(read, ARGV[#items + 2], unpack(KEYS, i, i + 1))
end
return items
