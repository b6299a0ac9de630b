-- Append ticks to the stream that is being rebuilt, and renew the lease.
-- KEYS[1] lease (hash)         token, ttl_ms
-- KEYS[2] ticks-new (stream)   the stream that is being rebuilt
-- ARGV[1] token, [2] 1 for the first call, which empties the stream, [3] the stream's TTL, ms
-- ARGV[4…] five items for each tick: see append.lua
-- Returns the number of ticks in the stream. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
redis.call('PEXPIRE', KEYS[1], redis.call('HGET', KEYS[1], 'ttl_ms'))
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[2])
end
append(KEYS[2], 4)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('XLEN', KEYS[2])
