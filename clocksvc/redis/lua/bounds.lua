-- Return both ends of the stream of ticks.
-- KEYS[1] ticks (stream)   recent ticks
-- KEYS[2] state (hash)     base_ms, stream, restoring
-- Returns {first entry or {}, last entry or {}, base_ms or '', '1' if a leader has begun the stream or '', '1' while
-- older ticks will be restored or ''}. An entry: {id, {field, value, …}}.

local state = redis.call('HMGET', KEYS[2], 'base_ms', 'stream', 'restoring')
return {
  redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1] or {},
  redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] or {},
  state[1] or '',
  state[2] or '',
  state[3] or '',
}
