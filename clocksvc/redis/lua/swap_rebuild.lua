-- Replace the stream of ticks by the rebuilt stream.
-- KEYS[1] lease (hash)         token
-- KEYS[2] ticks-new (stream)   the rebuilt stream
-- KEYS[3] ticks (stream)       replaced
-- KEYS[4] state (hash)         base_ms is written; crossed_ms is cleared, or set if a boundary is already reached
-- KEYS[5] roster (zset)        partitions that must report
-- KEYS[6] wake (list)          the leader's notification
-- ARGV[1] token, [2] the expected number of ticks in the rebuilt stream, [3] the clock's last tick, ms, or ''
-- Returns 1. Errors: LEASELOST, STORELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
if redis.call('XLEN', KEYS[2]) ~= tonumber(ARGV[2]) then
  return redis.error_reply('STORELOST the stream that was being rebuilt is gone')
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[3])
else
  redis.call('PERSIST', KEYS[2])
  redis.call('RENAME', KEYS[2], KEYS[3])
end
redis.call('HDEL', KEYS[4], 'crossed_ms', 'base_ms')
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[4], 'base_ms', ARGV[3])
end
note_crossing(KEYS[4], KEYS[5], KEYS[6], chain_end(KEYS[3], KEYS[4]), store_now())
return 1
