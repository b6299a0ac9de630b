-- Replace the roster. A partition keeps its timestamp if the id of its topic and the clock's group have not changed.
-- KEYS[1] lease (hash)          token
-- KEYS[2] state (hash)          group, claimed_by; roster, roster_group, generation, excluded_count,
--                               overrides, recreated are written
-- KEYS[3] roster (zset)         replaced
-- KEYS[4] excluded (zset)       replaced
-- KEYS[5] roster-new (zset)     the new roster
-- KEYS[6] excluded-new (zset)   the new excluded partitions
-- KEYS[7] reported (hash)       partitions that become unknown or leave the roster are dropped
-- KEYS[8] rejected (hash)       the same
-- KEYS[9] ticks (stream)        recent ticks
-- KEYS[10] notification (list)  the leader's notification
-- KEYS[11] parameters (string)  the parameters for reports
-- KEYS[12] signals (hash)       boundary_crossed_at_ms
-- ARGV[1] token, [2] generation, [3] JSON [[topic, id, partitions], …], [4] operator overrides, JSON,
-- ARGV[5…] excluded members
-- Returns the number of partitions that must report. Errors: LEASELOST.

local CHUNK = 1000
if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
for key, command in pairs({[KEYS[3]] = 'ZCARD', [KEYS[4]] = 'ZCARD', [KEYS[7]] = 'HGETALL', [KEYS[8]] = 'HGETALL'}) do
  call(command, key)
end
local topics = cjson.decode(ARGV[3])
local stored = redis.call('HMGET', KEYS[2], 'roster', 'group', 'roster_group', 'recreated', 'claimed_by')
local written, group, remembered = stored[1], stored[2] or '', stored[4]
-- A failover can bring back the group from before the leader's term, so only a group that the token has written counts.
local same_group = stored[5] == ARGV[1] and group == (stored[3] or '')
local before, excluded = {}, {}
for _, shape in ipairs(written and cjson.decode(written) or {}) do
  before[shape[1]] = {id = shape[2], partitions = shape[3]}
end
for i = 5, #ARGV do
  excluded[ARGV[i]] = true
end
local recreated = cjson.decode(remembered or '{}')
local had_excluded = redis.call('EXISTS', KEYS[4]) == 1
-- These keys remain after a failed run. DEL only if they exist: otherwise the first write command would be DEL, which
-- does not fail if Redis is out of memory, and Redis would not reject the script.
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

-- Add members to the new roster or to the new excluded partitions. If `kept` is true, they keep their timestamps.
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

-- Delete the fields of a topic's partitions in the hashes reported and rejected, from the partition number `from` on.
local function forget(topic, from, partitions)
  for number = from, partitions - 1, CHUNK do
    local members = names(topic, number, math.min(number + CHUNK, partitions) - 1)
    redis.call('HDEL', KEYS[7], unpack(members))
    redis.call('HDEL', KEYS[8], unpack(members))
  end
end

-- Returns the first boundary after all timestamps that were reported for a topic, ms; nil if there are none. After the
-- topic was recreated, lower timestamps are ignored, because they come from consumers of the old topic.
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
  local parameters = redis.call('HMGET', KEYS[2], 'interval_ms', 'out_of_orderness_ms')
  local interval_ms, out_of_orderness_ms = parameters[1], parameters[2]
  if highest and interval_ms then
    local reached = highest - out_of_orderness_ms
    return reached - reached % interval_ms + interval_ms + out_of_orderness_ms
  end
end

for _, shape in ipairs(topics) do
  local topic, id, partitions, old = shape[1], shape[2], shape[3], before[shape[1]]
  local same_id = old ~= nil and old.id == id
  local same = same_id and same_group
  for number = 0, partitions - 1, CHUNK do
    put(names(topic, number, math.min(number + CHUNK, partitions) - 1), same)
  end
  if old and not same_id then
    recreated[topic] = beyond(topic, old.partitions) or recreated[topic]
  end
  if old then
    forget(topic, same and partitions or 0, old.partitions)
    before[topic] = nil
  end
end
for topic, old in pairs(before) do
  recreated[topic] = nil
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
  'HSET', KEYS[2], 'roster', ARGV[3], 'roster_group', group, 'generation', ARGV[2],
  'excluded_count', redis.call('ZCARD', KEYS[4]), 'overrides', ARGV[4])
if next(recreated) then
  redis.call('HSET', KEYS[2], 'recreated', cjson.encode(recreated))
elseif remembered then
  redis.call('HDEL', KEYS[2], 'recreated')
end
local parameters = export_parameters(KEYS[2], KEYS[11])
update_crossing(parameters, KEYS[12], KEYS[3], KEYS[10], chain_end(KEYS[9], KEYS[2]), store_now())
return redis.call('ZCARD', KEYS[3])
