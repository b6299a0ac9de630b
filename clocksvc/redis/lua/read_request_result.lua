-- Return the result of a request.
-- KEYS[1] answers (hash)   id to '<expires ms> <JSON>'
-- ARGV[1] id
-- Returns JSON, or '' if there is no result.

local answer = redis.call('HGET', KEYS[1], ARGV[1])
if answer then
  local expires_ms, json = string.match(answer, '^(%d+) (.*)$')
  if tonumber(expires_ms) > store_now() then
    return json
  end
end
return ''
