-- Begin an empty stream of ticks.
-- KEYS[1] lease (hash)            token
-- KEYS[2] state (hash)            base_ms, restoring, staged_count and stream are written
-- KEYS[3] ticks (stream)          removed
-- KEYS[4] ticks-staged (stream)   removed
-- KEYS[5] roster (zset)           partitions that must report
-- KEYS[6] notification (list)     the leader's notification
-- KEYS[7] notices (stream)        a notice is added
-- KEYS[8] parameters (string)     the parameters for reports
-- KEYS[9] signals (hash)          boundary_crossed_at_ms
-- ARGV[1] token, [2] clock, [3] the time that the first tick must follow, ms, or '', [4] 1 if older ticks will be
-- restored, else 0
-- Returns 1. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
redis.call('HSET', KEYS[2], 'stream', 1)
redis.call('HDEL', KEYS[2], 'base_ms', 'restoring', 'staged_count')
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'base_ms', ARGV[3])
end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[2], 'restoring', 1)
end
redis.call('DEL', KEYS[3], KEYS[4])
local parameters = export_parameters(KEYS[2], KEYS[8])
update_crossing(parameters, KEYS[9], KEYS[5], KEYS[6], tonumber(ARGV[3]), store_now())
add_notice(KEYS[7], ARGV[2])
return 1
