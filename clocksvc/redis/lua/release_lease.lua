-- Release the lease if the token has it.
-- KEYS[1] lease (hash)   token, holder, ttl_ms
-- ARGV[1] token
-- Returns 1 if it was released, else 0.

if not leads(KEYS[1], ARGV[1]) then
  return 0
end
return redis.call('DEL', KEYS[1])
