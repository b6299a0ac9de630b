-- Publish the leader's status for readers.
-- KEYS[1] lease (hash)       token
-- KEYS[2] status (string)    JSON; expires
-- ARGV[1] token, [2] status, JSON, [3] TTL ms
-- Returns 1. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
