-- Append ticks to the staged ticks, which readers don't see.
-- KEYS[1] lease (hash)            token
-- KEYS[2] state (hash)            staged_count, the number of staged ticks, is written
-- KEYS[3] ticks-staged (stream)   older ticks that are being restored; expires
-- ARGV[1] token, [2] 1 to discard earlier staged ticks, else 0, [3] TTL of the staged ticks, ms
-- ARGV[4…] five items for each tick: see append.lua
-- Returns 1. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[2], 'staged_count', 0)
  redis.call('DEL', KEYS[3])
end
redis.call('HINCRBY', KEYS[2], 'staged_count', (#ARGV - 3) / 5)
append(KEYS[3], 4, #ARGV)
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return 1
