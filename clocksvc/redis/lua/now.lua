-- Return the server's time. This is a script, so that in a cluster the node with the clock's keys answers.
-- KEYS[1] counters (hash)   selects the node
-- Returns the time, ms.

return store_now()
