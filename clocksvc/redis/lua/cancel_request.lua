-- Cancel a request that no leader has read.
-- KEYS[1] requests (hash)   id to '<expires ms> <1 if a leader has read it, else 0> <JSON>'
-- ARGV[1] id
-- Returns 1 if it was cancelled, else 0.

local request = redis.call('HGET', KEYS[1], ARGV[1])
if request and string.match(request, '^%d+ 0 ') then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
