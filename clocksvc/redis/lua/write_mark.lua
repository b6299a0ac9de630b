-- Mark the store for the log.
-- KEYS[1] lease (hash)    token
-- KEYS[2] mark (string)   the mark of the log to which the store belongs
-- ARGV[1] token, [2] mark
-- Returns 1. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
