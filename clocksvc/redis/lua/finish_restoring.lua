-- Replace the stream of ticks by the staged ticks, if both have the same end. If no ticks were staged because there are
-- no older ones, keep the stream.
-- KEYS[1] lease (hash)            token
-- KEYS[2] state (hash)            base_ms; restoring and staged_count are removed
-- KEYS[3] ticks (stream)          replaced
-- KEYS[4] ticks-staged (stream)   renamed to ticks
-- KEYS[5] notices (stream)        a notice is added
-- ARGV[1] token, [2] clock
-- Returns 1 if the stream was replaced, else 0. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local count = tonumber(redis.call('HGET', KEYS[2], 'staged_count') or '')
if not count or count ~= redis.call('XLEN', KEYS[4]) then
  return 0
end
if count > 0 then
  if last_tick(KEYS[4]) ~= chain_end(KEYS[3], KEYS[2]) then
    return 0
  end
  redis.call('PERSIST', KEYS[4])
  redis.call('RENAME', KEYS[4], KEYS[3])
end
redis.call('HDEL', KEYS[2], 'restoring', 'staged_count')
add_notice(KEYS[5], ARGV[2])
return 1
