-- Describes partitions with six items each. scripts.py lists the scripts that this file is prepended to.

-- Returns six items for each member: member, raw timestamp ('' or -inf for unknown), time of the last report (ms),
-- reason of the last report's rejection, '1' if excluded, what the observer of committed offsets knows.
-- members: list of text; scores: list of text, or false if missing; excluded: set of members.
local function lines(members, scores, excluded, reported_key, rejected_key, observed_key)
  local answer = {}
  local has_observed = redis.call('EXISTS', observed_key) == 1
  for from = 1, #members, 1000 do
    local upto = math.min(from + 999, #members)
    local reported = call('HMGET', reported_key, unpack(members, from, upto))
    local rejected = call('HMGET', rejected_key, unpack(members, from, upto))
    local observed = has_observed and redis.call('HMGET', observed_key, unpack(members, from, upto)) or {}
    for i = from, upto do
      local at = #answer
      answer[at + 1] = members[i]
      answer[at + 2] = scores[i] or ''
      answer[at + 3] = reported[i - from + 1] or ''
      answer[at + 4] = rejected[i - from + 1] or ''
      answer[at + 5] = excluded[members[i]] and '1' or ''
      answer[at + 6] = observed[i - from + 1] or ''
    end
  end
  return answer
end

-- Returns the same six items for the result of ZRANGE … WITHSCORES.
local function lines_with_scores(found, reported_key, rejected_key, observed_key)
  local members, scores = {}, {}
  for i = 1, #found, 2 do
    members[#members + 1] = found[i]
    scores[#scores + 1] = found[i + 1]
  end
  return lines(members, scores, {}, reported_key, rejected_key, observed_key)
end
