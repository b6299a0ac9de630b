-- Reads the announcements of schedulers and the leases on partitions. Prepended to scripts as listed in scripts.py.

local LEASES_KEPT_MS = 60000

-- Returns the token and the rest of a lease's value; nil without a lease that is valid at a time.
local function valid_lease(text, now_ms)
  local expires_ms, token, rest = string.match(text or '', '^(%d+) (%S+) (.*)$')
  if expires_ms and tonumber(expires_ms) > now_ms then
    return token, rest
  end
end

-- Write a lease, and keep the key.
local function write_lease(key, partition, expires_ms, token, rest)
  redis.call('HSET', key, partition, string.format('%.0f %s %s', expires_ms, token, rest))
  redis.call('PEXPIRE', key, LEASES_KEPT_MS)
end

-- Returns {now ms, announcements complete since ms or '', {replica, JSON, …}, {partition, token, JSON, …}}.
local function read_schedulers(schedulers_key, leases_key, now_ms)
  local fields, since_ms, live = redis.call('HGETALL', schedulers_key), '', {}
  for i = 1, #fields, 2 do
    local expires_ms, json = string.match(fields[i + 1], '^(%d+) (.*)$')
    if fields[i] == 'since' then
      since_ms = fields[i + 1]
    elseif expires_ms and tonumber(expires_ms) > now_ms then
      live[#live + 1] = fields[i]
      live[#live + 1] = json
    end
  end
  local stored, leases = redis.call('HGETALL', leases_key), {}
  for i = 1, #stored, 2 do
    local token, json = valid_lease(stored[i + 1], now_ms)
    if token then
      leases[#leases + 1] = stored[i]
      leases[#leases + 1] = token
      leases[#leases + 1] = json
    end
  end
  return {now_ms, since_ms, live, leases}
end
