-- Publish the leader's status for readers, and add changes of the hold to the history.
-- KEYS[1] lease (hash)       token
-- KEYS[2] status (string)    JSON; expires
-- KEYS[3] holds (zset)       the history: '<began ms> <until ms> <reason> <JSON>', score = began ms
-- ARGV[1] token, [2] status, JSON, [3] TTL ms, [4] retention of a change ms, [5] the maximum number of changes
-- ARGV[6] a time ms, [7] a reason, [8] a hold, JSON: this hold is added if no status was valid for longer than the time.
-- The time is '' to add nothing.
-- ARGV[9…] changes, oldest first: age ms, reason, hold as JSON. The reason is '-' if the clock does not hold. The last
-- change is the present one.
-- Returns 1. Errors: LEASELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if not ARGV[9] then
  return 1
end

local FIRST, FIELDS = 9, 3
local now_ms = store_now()
local newest
local member = redis.call('ZRANGE', KEYS[3], -1, -1)[1]
if member then
  local began_ms, until_ms, reason, json = string.match(member, '^(%d+) (%d+) (%S+) (.*)$')
  newest = {began_ms = tonumber(began_ms), until_ms = tonumber(until_ms), reason = reason, json = json}
end
local known_ms = newest and newest.until_ms or 0
local changed = {newest}

-- Adds a change, or replaces the newest one if it has the same reason.
local function add(began_ms, reason, json)
  if newest and newest.reason == reason then
    newest.json = json
    return
  end
  if newest then
    began_ms = math.max(began_ms, newest.began_ms + 1)
    newest.until_ms = began_ms
  end
  newest = {began_ms = began_ms, until_ms = began_ms, reason = reason, json = json}
  changed[#changed + 1] = newest
end

if newest and ARGV[6] ~= '' then
  -- Readers see a hold until its status expires.
  local shown_until_ms = known_ms + (newest.reason ~= '-' and ARGV[3] or 0)
  if now_ms - ARGV[FIRST] - shown_until_ms > tonumber(ARGV[6]) then
    add(shown_until_ms, ARGV[7], ARGV[8])
  end
end
for i = FIRST, #ARGV, FIELDS do
  local began_ms = now_ms - ARGV[i]
  if began_ms >= known_ms or i + FIELDS > #ARGV then
    add(math.max(began_ms, known_ms), ARGV[i + 1], ARGV[i + 2])
  end
end
newest.until_ms = math.max(now_ms, newest.began_ms)

redis.call('ZREMRANGEBYRANK', KEYS[3], -1, -1)
for _, one in ipairs(changed) do
  local began_ms = string.format('%.0f', one.began_ms)
  local text = string.format('%s %.0f %s %s', began_ms, one.until_ms, one.reason, one.json)
  redis.call('ZADD', KEYS[3], began_ms, text)
end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - ARGV[5])
-- The newest change before the retention is kept, because it lasted into it.
local old = redis.call('ZCOUNT', KEYS[3], '-inf', now_ms - ARGV[4])
if old > 1 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, old - 2)
end
return 1
