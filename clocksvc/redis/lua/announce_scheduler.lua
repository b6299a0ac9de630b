-- Announce a live replica of the scheduler, and renew its leases. Remove announcements and leases that have expired.
-- KEYS[1] schedulers (hash)         replica to '<expires ms> <JSON>'; since: no announcement was lost after this time,
--                                   ms; expires with the last announcement
-- KEYS[2] partition-leases (hash)   partition to '<expires ms> <token> <JSON [replica, address]>'; expires
-- ARGV[1] replica, [2] TTL ms, [3] the announcement, JSON, [4] JSON [replica, address]; [5…] partition, token: a lease
-- with this token is renewed, and a missing one is acquired with it
-- Returns {now ms, announcements complete since ms or '', {replica, JSON, …}, {partition, token, JSON, …}}.

local now_ms = store_now()
local expires_ms = now_ms + ARGV[2]

-- Delete the fields whose time is over. A time that is too far ahead is from before the server's clock was set back.
local function drop_expired(key)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local field_ms = tonumber(string.match(fields[i + 1], '^(%d+) ') or '')
    if fields[i] ~= 'since' and (not field_ms or field_ms <= now_ms or field_ms > expires_ms) then
      redis.call('HDEL', key, fields[i])
    end
  end
end

local since_ms = tonumber(redis.call('HGET', KEYS[1], 'since') or '')
if not since_ms or since_ms > now_ms then
  redis.call('HSET', KEYS[1], 'since', now_ms)
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', expires_ms, ARGV[3]))
drop_expired(KEYS[1])
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', expires_ms))
drop_expired(KEYS[2])
for i = 5, #ARGV, 2 do
  local token = valid_lease(redis.call('HGET', KEYS[2], ARGV[i]), now_ms)
  if not token or token == ARGV[i + 1] then
    write_lease(KEYS[2], ARGV[i], expires_ms, ARGV[i + 1], ARGV[4])
  end
end
return read_schedulers(KEYS[1], KEYS[2], now_ms)
