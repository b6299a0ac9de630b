-- Give the lease up if the token holds it.
-- KEYS[1] lease (hash)   token, holder, ttl_ms
-- ARGV[1] token
-- Returns 1 when it was given up, else 0.

if not leads(KEYS[1], ARGV[1]) then
  return 0
end
return redis.call('DEL', KEYS[1])
