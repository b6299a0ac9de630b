-- Return the result of a request.
-- KEYS[1] results (hash)   id to '<expires ms> <JSON>'
-- ARGV[1] id
-- Returns JSON, or '' if there is no result.

local result = redis.call('HGET', KEYS[1], ARGV[1])
if result then
  local expires_ms, json = string.match(result, '^(%d+) (.*)$')
  if tonumber(expires_ms) > store_now() then
    return json
  end
end
return ''
