-- Reads the counters of a clock. Prepended to scripts as listed in scripts.py.

-- Returns two lists: names and values of the counters; dispatchers and their checkpoints, ms.
local function clock_counters(counters_key, dispatchers_key, now_ms)
  local dispatchers, checkpoints = call('HGETALL', dispatchers_key), {}
  for i = 1, #dispatchers, 2 do
    local expires_ms, at_ms = string.match(dispatchers[i + 1], '^(%d+) (%d+)$')
    if expires_ms and tonumber(expires_ms) > now_ms then
      checkpoints[#checkpoints + 1] = dispatchers[i]
      checkpoints[#checkpoints + 1] = at_ms
    end
  end
  return {call('HGETALL', counters_key), checkpoints}
end
