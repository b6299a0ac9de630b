-- Return the partitions of the roster that are unknown or below a timestamp, in ascending order of their timestamps.
-- KEYS[1] roster (zset)     partitions that must report
-- KEYS[2] reported (hash)   when each was last reported, ms
-- KEYS[3] rejected (hash)   why the last report of each was rejected
-- KEYS[4] observed (hash)   what the observer of committed offsets knows of each
-- ARGV[1] raw timestamp ms, [2] the maximum number
-- Returns six items for each partition: see partition_lines.lua.

local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return lines_with_scores(found, KEYS[2], KEYS[3], KEYS[4])
