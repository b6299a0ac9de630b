-- Claim an unclaimed store for a Kafka cluster, and write the clock's parameters.
-- KEYS[1] lease (hash)          token
-- KEYS[2] state (hash)          claimed_by, cluster_id, format, the clock's parameters, started_ms
-- KEYS[3] roster (zset)         partitions that must report
-- KEYS[4] ticks (stream)        recent ticks
-- KEYS[5] notification (list)   the leader's notification
-- KEYS[6] parameters (string)   the parameters for reports
-- KEYS[7] signals (hash)        boundary_crossed_at_ms
-- ARGV[1] token, [2] cluster id, [3] format, [4] group, [5] topics as JSON, [6] interval ms, [7] out-of-orderness ms,
-- ARGV[8] max future ms, [9] max drift ms or '', [10] the leader's start, ms
-- Returns 1. Errors: LEASELOST, STOREMISMATCH.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local identity = redis.call('HMGET', KEYS[2], 'cluster_id', 'format')
if identity[1] and (identity[1] ~= ARGV[2] or identity[2] ~= ARGV[3]) then
  return redis.error_reply(string.format(
    'STOREMISMATCH the store belongs to cluster %s in format %s, not to cluster %s in format %s',
    identity[1], identity[2], ARGV[2], ARGV[3]))
end
redis.call(
  'HSET', KEYS[2], 'claimed_by', ARGV[1], 'cluster_id', ARGV[2], 'format', ARGV[3], 'group', ARGV[4], 'topics', ARGV[5],
  'interval_ms', ARGV[6], 'out_of_orderness_ms', ARGV[7], 'max_future_ms', ARGV[8],
  'max_drift_ms', ARGV[9])
redis.call('HSETNX', KEYS[2], 'started_ms', ARGV[10])
local parameters = export_parameters(KEYS[2], KEYS[6])
update_crossing(parameters, KEYS[7], KEYS[3], KEYS[5], chain_end(KEYS[4], KEYS[2]), store_now())
return 1
