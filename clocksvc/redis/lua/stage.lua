-- Append ticks to the staged ticks, which readers don't see.
-- KEYS[1] lease (hash)            token
-- KEYS[2] ticks-staged (stream)   older ticks that are being restored; expires
-- ARGV[1] token, [2] 1 to discard earlier staged ticks, else 0, [3] TTL of the staged ticks, ms
-- ARGV[4…] five items for each tick: see append.lua
-- Returns the number of staged ticks. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[2])
end
append(KEYS[2], 4)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('XLEN', KEYS[2])
