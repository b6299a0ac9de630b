-- Acquire or renew the lease, unless another token has it.
-- KEYS[1] lease (hash)   token, holder, ttl_ms; expires
-- ARGV[1] token, [2] holder, [3] TTL ms
-- Returns 1 if the token has the lease now, else 0.

local token = redis.call('HGET', KEYS[1], 'token')
if token and token ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'holder', ARGV[2], 'ttl_ms', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
