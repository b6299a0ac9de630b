-- The store's own clock: as a script, so that in a cluster the node that holds the clock's keys answers.
-- KEYS[1] state (hash)   only names the node
-- Returns the time, ms.

return store_now()
