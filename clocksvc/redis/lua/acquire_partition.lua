-- Acquire the lease on a partition, if the present lease is the expected one.
-- KEYS[1] partition-leases (hash)   partition to '<expires ms> <token> <JSON [replica, address]>'; expires
-- ARGV[1] partition, [2] token, [3] TTL ms, [4] JSON [replica, address], [5] the token that is replaced, '' for none
-- Returns 1 if the token has the lease now, else 0.

local now_ms = store_now()
local token = valid_lease(redis.call('HGET', KEYS[1], ARGV[1]), now_ms) or ''
if token ~= ARGV[5] and token ~= ARGV[2] then
  return 0
end
write_lease(KEYS[1], ARGV[1], now_ms + ARGV[3], ARGV[2], ARGV[4])
return 1
