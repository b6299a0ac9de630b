-- Return the state of a clock for readers, at one moment.
-- KEYS[1] lease (hash)        replica
-- KEYS[2] replicas (hash)     replica to '<expires ms> <JSON with digests by clock>'
-- KEYS[3] state (hash)        the clock's parameters, started_ms, overrides
-- KEYS[4] roster (zset)       partitions that must report
-- KEYS[5] excluded (zset)     excluded partitions
-- KEYS[6] reported (hash)     when each was last reported, ms
-- KEYS[7] rejected (hash)     why the last report of each was rejected
-- KEYS[8] observed (hash)     what the observer of committed offsets knows of each
-- KEYS[9] ticks (stream)      recent ticks
-- KEYS[10] status (string)    the leader's status, JSON
-- KEYS[11] observation (string)   what the observer knows of the clock, JSON
-- ARGV[1] the number of slowest partitions, [2] the clock's name
-- Returns the 14 items of clock_snapshot.lua.

local leader, digests = leader_and_digests(KEYS[1], KEYS[2])
return clock_snapshot(
  store_now(), leader, digests, ARGV[2], ARGV[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10],
  KEYS[11])
