-- Return all counters, and the checkpoints of all dispatchers.
-- KEYS[1] counters (hash)      all fields
-- KEYS[2] dispatchers (hash)   dispatcher to '<expires ms> <checkpoint ms>'
-- Returns the two lists of clock_counters.lua.

return clock_counters(KEYS[1], KEYS[2], store_now())
