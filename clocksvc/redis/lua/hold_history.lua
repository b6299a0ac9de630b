-- Return a page of the history of a clock's holds.
-- KEYS[1] holds (zset)       the history: '<began ms> <until ms> <reason> <JSON>', score = began ms
-- KEYS[2] status (string)    the leader's status; expires
-- ARGV[1] return changes that began before this time, ms; '' for the newest ones, [2] the maximum number
-- Returns {now ms, when the oldest change began, ms, or '', the newest change if a leader's status is valid, or '',
-- {changes, newest first}}.

local upper = ARGV[1] == '' and '+inf' or '(' .. ARGV[1]
return {
  store_now(),
  redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '',
  redis.call('EXISTS', KEYS[2]) == 1 and redis.call('ZRANGE', KEYS[1], -1, -1)[1] or '',
  redis.call('ZRANGE', KEYS[1], upper, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[2]),
}
