-- Return the state, the counters and the schedulers of some clocks of a log for readers, at one moment.
-- KEYS[1] lease (hash)        replica
-- KEYS[2] replicas (hash)     replica to '<expires ms> <JSON with digests by clock>'
-- 13 keys for each clock:
-- KEYS[3] state (hash)        the clock's parameters, started_ms, overrides
-- KEYS[4] roster (zset)       partitions that must report
-- KEYS[5] excluded (zset)     excluded partitions
-- KEYS[6] reported (hash)     when each was last reported, ms
-- KEYS[7] rejected (hash)     why the last report of each was rejected
-- KEYS[8] observed (hash)     what the observer of committed offsets knows of each
-- KEYS[9] ticks (stream)      recent ticks
-- KEYS[10] status (string)    the leader's status, JSON
-- KEYS[11] observation (string)   what the observer knows of the clock, JSON
-- KEYS[12] counters (hash)    all fields
-- KEYS[13] dispatchers (hash)   dispatcher to '<expires ms> <checkpoint ms>'
-- KEYS[14] schedulers (hash)  replica to '<expires ms> <JSON>'; since
-- KEYS[15] partition-leases (hash)   partition to '<expires ms> <token> <JSON [replica, address]>'
-- ARGV[1] the number of slowest partitions, [2…] the clocks' names
-- Returns one item for each clock: {state, counters, schedulers}, as clock_snapshot.lua, clock_counters.lua and
-- live_schedulers.lua return them. If a key of the clock has another type, its item is the error's text.

local now_ms = store_now()
local leader, digests = leader_and_digests(KEYS[1], KEYS[2])

local function read(
  clock, state, roster, excluded, reported, rejected, observed, ticks, status, observation, counters, dispatchers,
  schedulers, leases)
  return {
    clock_snapshot(
      now_ms, leader, digests, clock, ARGV[1], state, roster, excluded, reported, rejected, observed, ticks, status,
      observation),
    clock_counters(counters, dispatchers, now_ms),
    read_schedulers(schedulers, leases, now_ms),
  }
end

local items = {}
for i = 3, #KEYS, 13 do
  items[#items + 1] = guarded(read, ARGV[#items + 2], unpack(KEYS, i, i + 12))
end
return items
