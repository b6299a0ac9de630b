-- Acquire or renew the lease, unless another token has it.
-- KEYS[1] lease (hash)      token, replica; expires
-- KEYS[2] holder (string)   the replica
-- ARGV[1] token, [2] replica, [3] TTL ms
-- Returns 1 if the token has the lease now, else 0.

local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'replica', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[2])
return 1
