-- Notify the leader.
-- KEYS[1] notification (list)   the leader's notification
-- Returns 1.

notify(KEYS[1])
return 1
