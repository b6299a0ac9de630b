-- Replace what the observer of committed offsets knows of a clock.
-- KEYS[1] observation (string)   JSON
-- KEYS[2] observed (hash)        partition to '<committed offset> <end offset> <why it waits>'
-- ARGV[1] the observation, JSON, [2…] for each partition: member, value
-- Returns 1.

local CHUNK = 1000
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
for from = 2, #ARGV, 2 * CHUNK do
  redis.call('HSET', KEYS[2], unpack(ARGV, from, math.min(from + 2 * CHUNK - 1, #ARGV)))
end
return 1
