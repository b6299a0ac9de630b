-- Return the state that a leader needs for one step, with the pending requests. Renew the leader's lease.
-- KEYS[1] lease (hash)      token; ttl_ms is written
-- KEYS[2] state (hash)      generation, excluded_count, base_ms, crossed_ms, unknown_seen_ms
-- KEYS[3] roster (zset)     partitions that must report
-- KEYS[4] excluded (zset)   excluded partitions
-- KEYS[5] replicas (hash)   replica to '<expires ms> <digest>'
-- KEYS[6] ticks (stream)    recent ticks
-- KEYS[7] requests (hash)   id to '<expires ms> <1 if a leader has read it, else 0> <JSON>'
-- KEYS[8] heard (hash)      since, ms
-- ARGV[1] token, [2] TTL ms
-- Returns {lowest raw ms or '', number of partitions, generation, now ms, end of the stream ms or '', crossed ms or '',
-- unknown seen ms, announcements complete since ms or '', {request JSON…}, digest of each live replica…}.
-- Errors: LEASELOST, STORELOST.

if not leads(KEYS[1], ARGV[1]) then
  return LEASE_LOST
end
local state = redis.call(
  'HMGET', KEYS[2], 'format', 'generation', 'excluded_count', 'crossed_ms', 'unknown_seen_ms')
if not state[1] or not state[2] or redis.call('ZCARD', KEYS[4]) ~= tonumber(state[3]) then
  return redis.error_reply('STORELOST the store has lost data that the leader had written')
end
redis.call('HSET', KEYS[1], 'ttl_ms', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])

local now_ms = store_now()

-- Returns the pending requests: new ones, which are marked as read, and those that a leader has read before.
local function hand_out()
  local requests, handed = redis.call('HGETALL', KEYS[7]), {}
  for i = 1, #requests, 2 do
    local expires_ms, seen, json = string.match(requests[i + 1], '^(%d+) ([01]) (.*)$')
    if expires_ms and (seen == '1' or tonumber(expires_ms) > now_ms) then
      handed[#handed + 1] = json
      if seen == '0' then
        redis.call('HSET', KEYS[7], requests[i], expires_ms .. ' 1 ' .. json)
      end
    end
  end
  return handed
end

local replicas = redis.call('HVALS', KEYS[5])
local since_ms = #replicas > 0 and redis.call('HGET', KEYS[8], 'since')
local answer = {
  lowest(KEYS[3]) or '', redis.call('ZCARD', KEYS[3]), state[2], now_ms, chain_end(KEYS[6], KEYS[2]) or '',
  state[4] or '', state[5] or '0', since_ms or '', hand_out()}
for _, replica in ipairs(replicas) do
  local expires_ms, digest = string.match(replica, '^(%d+) (%S*)')
  if expires_ms and tonumber(expires_ms) > now_ms then
    answer[#answer + 1] = digest
  end
end
return answer
