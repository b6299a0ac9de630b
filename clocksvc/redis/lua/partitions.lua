-- Return one page of the list of all partitions, which is ordered by topic and number.
-- KEYS[1] state (hash)       the roster's topics in order, with their numbers of partitions
-- KEYS[2] roster (zset)      partitions that must report
-- KEYS[3] excluded (zset)    excluded partitions
-- KEYS[4] reported (hash)    when each was last reported, ms
-- KEYS[5] rejected (hash)    why the last report of each was rejected
-- KEYS[6] observed (hash)    what the observer of committed offsets knows of each
-- ARGV[1] topic and [2] number of the last partition on the page before, '' and -1 for the first page
-- ARGV[3] the maximum number of partitions, [4] return only this topic, '' for all topics
-- Returns six items for each partition: see partition_lines.lua.

-- Returns true if `one` is before `other`. Compares bytes, because Lua's < would use the server's locale.
local function before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Returns the number of the first partition of a topic on this page.
local function first_number(topic, partitions)
  if ARGV[1] == '' or before(ARGV[1], topic) then
    return 0
  elseif topic == ARGV[1] then
    return ARGV[2] + 1
  end
  return partitions
end

local limit = tonumber(ARGV[3])
local members, scores, excluded = {}, {}, {}
for _, shape in ipairs(cjson.decode(redis.call('HGET', KEYS[1], 'roster') or '[]')) do
  local topic, partitions = shape[1], shape[3]
  if ARGV[4] == '' or ARGV[4] == topic then
    local first = first_number(topic, partitions)
    for number = first, math.min(partitions, first + limit - #members) - 1 do
      members[#members + 1] = topic .. ':' .. number
    end
  end
end
local has_excluded = redis.call('EXISTS', KEYS[3]) == 1
for from = 1, #members, 1000 do
  local upto = math.min(from + 999, #members)
  local required = redis.call('ZMSCORE', KEYS[2], unpack(members, from, upto))
  local spared = has_excluded and redis.call('ZMSCORE', KEYS[3], unpack(members, from, upto)) or {}
  for i = from, upto do
    excluded[members[i]] = spared[i - from + 1] and true
    scores[i] = spared[i - from + 1] or required[i - from + 1]
  end
end
return lines(members, scores, excluded, KEYS[4], KEYS[5], KEYS[6])
