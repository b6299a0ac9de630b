-- Publish the leader's status of some clocks for readers, and add changes of their holds to the histories.
-- KEYS[1] lease (hash)       token
-- Two keys for each clock:
-- KEYS[2] status (string)    JSON; expires
-- KEYS[3] holds (zset)       the history: '<began ms> <until ms> <reason> <JSON>', score = began ms
-- ARGV[1] token, [2] TTL ms, [3] retention of a change ms, [4] the maximum number of changes
-- ARGV[5…] for each clock:
--   status, JSON
--   a time ms, a reason, a hold, JSON: this hold is added if there was no valid status for longer than the time. The time
--   is '' to add nothing.
--   the number of changes, and three items for each of them, oldest first: age ms, reason, hold as JSON. The reason is
--   '-' if the clock does not hold. The last change is the present one.
-- Returns 1. Errors: LEASELOST.

local FIELDS = 3
if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local now_ms = store_now()

-- Add changes to a history: `count` of them, which begin at ARGV[first]. `gap` is the index of the time above.
local function add_changes(holds, gap, first, count)
  local newest
  local member = redis.call('ZRANGE', holds, -1, -1)[1]
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

  if newest and ARGV[gap] ~= '' then
    -- Readers see a hold until its status expires.
    local shown_until_ms = known_ms + (newest.reason ~= '-' and ARGV[2] or 0)
    if now_ms - ARGV[first] - shown_until_ms > tonumber(ARGV[gap]) then
      add(shown_until_ms, ARGV[gap + 1], ARGV[gap + 2])
    end
  end
  for change = 1, count do
    local i = first + (change - 1) * FIELDS
    local began_ms = now_ms - ARGV[i]
    if began_ms >= known_ms or change == count then
      add(math.max(began_ms, known_ms), ARGV[i + 1], ARGV[i + 2])
    end
  end
  newest.until_ms = math.max(now_ms, newest.began_ms)

  redis.call('ZREMRANGEBYRANK', holds, -1, -1)
  for _, one in ipairs(changed) do
    local began_ms = string.format('%.0f', one.began_ms)
    local text = string.format('%s %.0f %s %s', began_ms, one.until_ms, one.reason, one.json)
    redis.call('ZADD', holds, began_ms, text)
  end
  redis.call('ZREMRANGEBYRANK', holds, 0, -1 - ARGV[4])
  -- The newest change before the retention is kept, because it lasted into it.
  local old = redis.call('ZCOUNT', holds, '-inf', now_ms - ARGV[3])
  if old > 1 then
    redis.call('ZREMRANGEBYRANK', holds, 0, old - 2)
  end
end

local at = 5
for i = 2, #KEYS, 2 do
  local count = tonumber(ARGV[at + 4])
  redis.call('SET', KEYS[i], ARGV[at], 'PX', ARGV[2])
  if count > 0 then
    add_changes(KEYS[i + 1], at + 1, at + 5, count)
  end
  at = at + 5 + count * FIELDS
end
return 1
