-- Release the lease if the token has it.
-- KEYS[1] lease (hash)      token
-- KEYS[2] holder (string)   removed, so that the next leader does not wait
-- ARGV[1] token
-- Returns 1 if it was released, else 0.

if not leads(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
