-- Write the whole roster at once; a partition keeps its timestamp where its topic's id is the one written before.
-- KEYS[1] lease (hash)          token
-- KEYS[2] state (hash)          roster, generation, excluded_count, standing, anew are written
-- KEYS[3] roster (zset)         replaced
-- KEYS[4] excluded (zset)       replaced
-- KEYS[5] roster-new (zset)     the roster in the making
-- KEYS[6] excluded-new (zset)   the excluded ones in the making
-- KEYS[7] reported (hash)       loses the partitions that left or are made anew
-- KEYS[8] refused (hash)        the same
-- ARGV[1] token, [2] generation, [3] JSON [[topic, id, partitions], …], [4] JSON of who excluded and paused,
-- ARGV[5…] members that are excluded
-- Returns how many must report. Errors: LEASELOST.

local CHUNK = 1000
if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local topics = cjson.decode(ARGV[3])
local written = redis.call('HGET', KEYS[2], 'roster')
local before, excluded = {}, {}
for _, shape in ipairs(written and cjson.decode(written) or {}) do
  before[shape[1]] = {id = shape[2], partitions = shape[3]}
end
for i = 5, #ARGV do
  excluded[ARGV[i]] = true
end
local remembered = redis.call('HGET', KEYS[2], 'anew')
local anew = cjson.decode(remembered or '{}')
local had_excluded = redis.call('EXISTS', KEYS[4]) == 1
-- Left behind only by a run that failed. No DEL for nothing: the first write must be one that full memory refuses.
if redis.call('EXISTS', KEYS[5], KEYS[6]) > 0 then
  redis.call('DEL', KEYS[5], KEYS[6])
end

local function names(topic, from, upto)
  local members = {}
  for number = from, upto do
    members[#members + 1] = topic .. ':' .. number
  end
  return members
end

-- Put members into the roster, or among the excluded; `kept` says whether what they reported still counts.
local function put(members, kept)
  local known = kept and redis.call('ZMSCORE', KEYS[3], unpack(members)) or {}
  local spared = kept and had_excluded and redis.call('ZMSCORE', KEYS[4], unpack(members)) or {}
  local required, left_out = {}, {}
  for i, member in ipairs(members) do
    local target = excluded[member] and left_out or required
    target[#target + 1] = known[i] or spared[i] or '-inf'
    target[#target + 1] = member
  end
  if #required > 0 then
    redis.call('ZADD', KEYS[5], unpack(required))
  end
  if #left_out > 0 then
    redis.call('ZADD', KEYS[6], unpack(left_out))
  end
end

-- Drop what is shown about a topic's partitions from a number on.
local function forget(topic, from, partitions)
  for number = from, partitions - 1, CHUNK do
    local members = names(topic, number, math.min(number + CHUNK, partitions) - 1)
    redis.call('HDEL', KEYS[7], unpack(members))
    redis.call('HDEL', KEYS[8], unpack(members))
  end
end

-- The boundary after all that was reported of a topic, ms; nil where nothing was. From there on readings count of the
-- topic that took its name: others repeat what was processed of the old one.
local function beyond(topic, partitions)
  local highest
  for number = 0, partitions - 1, CHUNK do
    local members = names(topic, number, math.min(number + CHUNK, partitions) - 1)
    for _, reported in ipairs({KEYS[3], KEYS[4]}) do
      for _, score in ipairs(redis.call('ZMSCORE', reported, unpack(members))) do
        if score and score ~= '-inf' then
          highest = math.max(highest or 0, tonumber(score))
        end
      end
    end
  end
  local bounds = redis.call('HMGET', KEYS[2], 'interval_ms', 'out_of_orderness_ms')
  if highest and bounds[1] then
    local reached = highest - bounds[2]
    return reached - reached % bounds[1] + bounds[1] + bounds[2]
  end
end

for _, shape in ipairs(topics) do
  local topic, id, partitions, old = shape[1], shape[2], shape[3], before[shape[1]]
  local same = old ~= nil and old.id == id
  for number = 0, partitions - 1, CHUNK do
    put(names(topic, number, math.min(number + CHUNK, partitions) - 1), same)
  end
  if old and not same then
    anew[topic] = beyond(topic, old.partitions) or anew[topic]
  end
  if old then
    forget(topic, same and partitions or 0, old.partitions)
    before[topic] = nil
  end
end
for topic, old in pairs(before) do
  anew[topic] = nil
  forget(topic, 0, old.partitions)
end
if not written then
  redis.call('DEL', KEYS[7], KEYS[8])
end

for new, present in pairs({[KEYS[5]] = KEYS[3], [KEYS[6]] = KEYS[4]}) do
  if redis.call('EXISTS', new) == 1 then
    redis.call('RENAME', new, present)
  else
    redis.call('DEL', present)
  end
end
redis.call(
  'HSET', KEYS[2], 'roster', ARGV[3], 'generation', ARGV[2], 'excluded_count', redis.call('ZCARD', KEYS[4]),
  'standing', ARGV[4])
if next(anew) then
  redis.call('HSET', KEYS[2], 'anew', cjson.encode(anew))
elseif remembered then
  redis.call('HDEL', KEYS[2], 'anew')
end
return redis.call('ZCARD', KEYS[3])
