-- Ask for the leader's attention.
-- KEYS[1] wake (list)   the leader's wake-up
-- Returns 1.

notify(KEYS[1])
return 1
