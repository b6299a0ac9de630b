-- Return the lease, the announcements and the mark.
-- KEYS[1] lease (hash)       replica
-- KEYS[2] holder (string)    the replica that acquired the lease last, unless it released the lease
-- KEYS[3] replicas (hash)    replica to '<expires ms> <JSON>'
-- KEYS[4] configs (hash)     since, ms
-- KEYS[5] mark (string)      the mark of the log to which the store belongs
-- Returns {now ms, the leader or '', the replica whose lease expired or '', announcements complete since ms or '',
-- {replica, JSON, …}, mark or ''}.

local now_ms = store_now()
local leader = redis.call('HGET', KEYS[1], 'replica')
local expired = not leader and redis.call('GET', KEYS[2])
local announcements, since_ms = live_announcements(KEYS[3], KEYS[4], now_ms)
return {now_ms, leader or '', expired or '', since_ms, announcements, redis.call('GET', KEYS[5]) or ''}
