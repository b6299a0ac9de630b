-- Store the highest raw timestamp of each partition, count outcomes, and notify the leader when the minimum crosses a
-- boundary.
-- KEYS[1] parameters (string)   the clock's parameters and format
-- KEYS[2] roster (zset)         partitions that must report, score = raw ms
-- KEYS[3] excluded (zset)       excluded partitions, the same
-- KEYS[4] reported (hash)       when each was last reported, ms
-- KEYS[5] rejected (hash)       why the last report of each was rejected
-- KEYS[6] ticks (stream)        recent ticks
-- KEYS[7] notification (list)   the leader's notification
-- KEYS[8] counters (hash)       by outcome
-- KEYS[9] signals (hash)        leader_seen_ms; boundary_crossed_at_ms, unknown_seen_ms, create_time_seen_ms,
--                               foreign_topic and foreign_group are written
-- ARGV[1] the reporter's format, [2] its group, [3] number of late records, [4] 1 if it processed records with
-- CreateTime, else 0, [5] topic ids as JSON, or '', [6] number of timestamps
-- ARGV[7…] timestamps: member, raw ms; after them the reporter's own rejections: member, outcome
-- Returns {outcomes joined by spaces, group, topics, interval_ms, out_of_orderness_ms, max_future_ms, max_drift_ms, last
-- tick's ms, the lowest raw timestamp of the roster}, with '' for missing values. The lowest timestamp is returned only if
-- the clock has max_drift_ms, and a leader that has begun a round within LEADER_SEEN_MS. If no leader has written the
-- clock's parameters yet, all items except the last tick's ms are ''. Errors: STOREMISMATCH.

local CHUNK = 1000
local LONGEST_NAME = 255
-- The same limits as in clock/partition.py, interfaces/progress.py and interfaces/counters.py.
local SECONDS_BELOW_MS, MICROSECONDS_FROM_MS = 1e11, 1e14
local SILENT_MS, LEADER_SEEN_MS, MAX_LATE_RECORDS, MAX_COUNT = 30000, 3000, 1e9, 2^53 - 1
local clock = read_parameters(KEYS[1])
local last_ms = last_tick(KEYS[6])
if not clock then
  return {'', '', '', '', '', '', '', last_ms or '', ''}
end
if math.abs(clock.format - ARGV[1]) > 1 then
  return redis.error_reply(
    'STOREMISMATCH the store is in format ' .. clock.format .. ', this reporter writes format ' .. ARGV[1])
end
local signals = redis.call('HMGET', KEYS[9], 'boundary_crossed_at_ms', 'create_time_seen_ms', 'leader_seen_ms')

local now_ms = store_now()
local latest_ms = now_ms + clock.max_future_ms
local foreign = clock.group ~= ARGV[2]
-- The timestamps of a new group must not be mixed with those of the old group, to which the clock can still return. All
-- are unknown until the leader has written a roster for the new group.
local has_roster = clock.group == clock.roster_group
local has_excluded = redis.call('EXISTS', KEYS[3]) == 1
local has_rejected = redis.call('EXISTS', KEYS[5]) == 1
local recreated = clock.recreated and cjson.decode(clock.recreated)
local outcomes, counts = {}, {}
local clock_topics, foreign_topic
local reported_ids = ARGV[5] ~= '' and cjson.decode(ARGV[5])
local roster_ids = {}
for _, shape in ipairs(reported_ids and clock.roster and cjson.decode(clock.roster) or {}) do
  roster_ids[shape[1]] = shape[2]
end

-- Returns true if a member's topic has another id in the report than on the roster: one of both is a former topic.
local function of_another_id(member)
  local topic = reported_ids and string.match(member, '^(.*):')
  return topic and reported_ids[topic] and reported_ids[topic] ~= roster_ids[topic]
end

-- Returns true if a timestamp is from a consumer that does not know yet that its topic was recreated. To be called only
-- for unknown partitions.
local function outdated(member, timestamp)
  return recreated and timestamp < (recreated[string.match(member, '^(.*):')] or 0)
end

-- Returns true if the topic of a member is not one of the clock's. To be called only for partitions that are not on the
-- roster.
local function of_foreign_topic(member)
  if not clock_topics then
    clock_topics = {}
    for _, topic in ipairs(cjson.decode(clock.topics)) do
      clock_topics[topic] = true
    end
  end
  local topic = string.match(member, '^(.*):') or member
  if clock_topics[topic] then
    return false
  end
  foreign_topic = topic
  return true
end

-- Returns the outcome of one timestamp. `known` is the partition's current score; false or nil if the clock does not
-- have this partition.
local function outcome_of(member, known, timestamp)
  if foreign then
    return 'foreign_group'
  elseif not known then
    return of_foreign_topic(member) and 'foreign_topic' or 'unknown'
  elseif of_another_id(member) then
    return 'unknown'
  elseif timestamp < 0 then
    return 'no_timestamp'
  elseif timestamp < SECONDS_BELOW_MS or timestamp >= MICROSECONDS_FROM_MS then
    return 'not_milliseconds'
  elseif timestamp > latest_ms then
    return 'too_far_ahead'
  elseif known == '-inf' and outdated(member, timestamp) or known ~= '-inf' and timestamp <= tonumber(known) then
    return 'unchanged'
  end
  return 'accepted'
end

-- Returns a name as people may see it, in printable ASCII.
local function printable(name)
  return (string.gsub(string.sub(name, 1, LONGEST_NAME), '[^\32-\126]', '?'))
end

-- Returns the scores of the members ARGV[from], ARGV[from + 2], … in roster, their scores in excluded, and the members.
local function scores(from, upto)
  local members = {}
  for i = from, upto, 2 do
    members[#members + 1] = ARGV[i]
  end
  local required = redis.call('ZMSCORE', KEYS[2], unpack(members))
  return required, has_excluded and redis.call('ZMSCORE', KEYS[3], unpack(members)) or {}, members
end

-- Store new rejections, and remove old rejections of accepted partitions. `rejections`: member to outcome, or to false
-- if accepted.
local function note_rejections(rejections)
  local rejected, cleared = {}, {}
  for member, outcome in pairs(rejections) do
    if outcome then
      rejected[#rejected + 1] = member
      rejected[#rejected + 1] = outcome
    elseif has_rejected then
      cleared[#cleared + 1] = member
    end
  end
  if #rejected > 0 then
    has_rejected = true
    redis.call('HSET', KEYS[5], unpack(rejected))
  end
  if #cleared > 0 then
    redis.call('HDEL', KEYS[5], unpack(cleared))
  end
end

-- Returns true if the clock's own group has not reported a partition for a while. Only then, a rejected report of
-- another group is shown. Otherwise it would replace the result of the own group's reports again and again.
local function is_silent(reported_ms)
  return not reported_ms or now_ms - reported_ms > SILENT_MS
end

local function receive(from, upto)
  local required, spared, members = scores(from, upto)
  local own = foreign and redis.call('HMGET', KEYS[4], unpack(members))
  local raised, raised_spared, reported, rejections, best = {}, {}, {}, {}, {}
  for i = from, upto, 2 do
    local member, timestamp, at = ARGV[i], ARGV[i + 1], (i - from) / 2 + 1
    local known = has_roster and (best[member] or required[at] or spared[at])
    local outcome = outcome_of(member, known, tonumber(timestamp))
    outcomes[#outcomes + 1] = outcome
    counts[outcome] = (counts[outcome] or 0) + 1
    if outcome == 'accepted' or outcome == 'unchanged' then
      rejections[member] = false
      reported[#reported + 1] = member
      reported[#reported + 1] = now_ms
    elseif known and outcome ~= 'unknown' and (not foreign or is_silent(own[at])) then
      rejections[member] = outcome
    end
    if outcome == 'accepted' then
      best[member] = timestamp
      local target = required[at] and raised or raised_spared
      target[#target + 1] = timestamp
      target[#target + 1] = member
    end
  end
  if #raised > 0 then
    redis.call('ZADD', KEYS[2], 'XX', 'GT', unpack(raised))
  end
  if #raised_spared > 0 then
    redis.call('ZADD', KEYS[3], 'XX', 'GT', unpack(raised_spared))
  end
  if #reported > 0 then
    redis.call('HSET', KEYS[4], unpack(reported))
  end
  note_rejections(rejections)
end

-- Count the timestamps that the reporter itself has rejected, and store these rejections for partitions that exist.
local function receive_rejections(from, upto)
  local required, spared = scores(from, upto)
  local rejections = {}
  for i = from, upto, 2 do
    local at, outcome = (i - from) / 2 + 1, ARGV[i + 1]
    counts[outcome] = (counts[outcome] or 0) + 1
    if required[at] or spared[at] then
      rejections[ARGV[i]] = outcome
    elseif outcome == 'foreign_topic' then
      of_foreign_topic(ARGV[i])
    end
  end
  note_rejections(rejections)
end

local readings_end = 6 + 2 * ARGV[6]
for from = 7, readings_end, 2 * CHUNK do
  receive(from, math.min(from + 2 * CHUNK - 1, readings_end))
end
local late = 0
if not foreign then
  late = math.max(0, math.min(tonumber(ARGV[3]) or 0, MAX_LATE_RECORDS))
  for from = readings_end + 1, #ARGV, 2 * CHUNK do
    receive_rejections(from, math.min(from + 2 * CHUNK - 1, #ARGV))
  end
end

-- Adds to a counter. HINCRBY would fail at its maximum, and at a value that is no number, and with it every report.
local function add_to(counter, number)
  local counted = tonumber(redis.call('HGET', KEYS[8], counter) or '') or 0
  redis.call('HSET', KEYS[8], counter, string.format('%.0f', math.min(counted + number, MAX_COUNT)))
end

for outcome, number in pairs(counts) do
  add_to('reports:' .. outcome, number)
end
if late > 0 then
  add_to('late_records', late)
end
if foreign and #ARGV > 6 then
  -- The reporter may itself have rejected all timestamps, for example because also their topic is another one.
  redis.call('HSET', KEYS[9], 'foreign_group', now_ms .. ' ' .. printable(ARGV[2]))
end
if foreign_topic then
  redis.call('HSET', KEYS[9], 'foreign_topic', now_ms .. ' ' .. printable(foreign_topic))
end
if counts['unknown'] then
  redis.call('HSET', KEYS[9], 'unknown_seen_ms', now_ms)
  notify(KEYS[7])
end
-- The round that this report starts reads the time. So only the first report with CreateTime has to notify the leader.
if ARGV[4] == '1' and not foreign then
  redis.call('HSET', KEYS[9], 'create_time_seen_ms', now_ms)
  if not signals[2] then
    notify(KEYS[7])
  end
end
if not signals[1] and not foreign then
  update_crossing(clock, KEYS[9], KEYS[2], KEYS[7], last_ms or tonumber(clock.base_ms or ''), now_ms)
end
local led = now_ms - (tonumber(signals[3] or '') or 0) <= LEADER_SEEN_MS
local lowest_ms = clock.max_drift_ms ~= '' and led and has_roster and lowest(KEYS[2])
return {
  table.concat(outcomes, ' '), clock.group, clock.topics, clock.interval_ms, clock.out_of_orderness_ms,
  clock.max_future_ms, clock.max_drift_ms, last_ms or '', lowest_ms or ''}
