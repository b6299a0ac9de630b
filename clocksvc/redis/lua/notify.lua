-- Notify the leader.
-- KEYS[1] wake (list)   the leader's notification
-- Returns 1.

notify(KEYS[1])
return 1
