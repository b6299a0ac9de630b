-- Adds notices for readers. Prepended to scripts as listed in scripts.py.

-- Add a notice: the clock has new ticks. Ids are consecutive numbers, so that readers detect missing ones.
local function add_notice(notices, clock)
  local last = redis.call('XREVRANGE', notices, '+', '-', 'COUNT', 1)[1]
  local number = last and tonumber(string.match(last[1], '^%d+')) or 0
  redis.call('XADD', notices, 'MAXLEN', '~', 1000, string.format('%.0f-0', number + 1), 'c', clock)
end
