-- Add to the heartbeat counters.
-- KEYS[1] counters (hash)   heartbeats:<outcome>, heartbeat_success_ms
-- ARGV[1] 1 if heartbeats were written to all partitions, else 0; [2…] outcome, number
-- Returns 1.

for i = 2, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], 'heartbeats:' .. ARGV[i], ARGV[i + 1])
end
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[1], 'heartbeat_success_ms', store_now())
end
return 1
