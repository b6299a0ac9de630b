-- Release leases on partitions, and remove the announcement of a replica.
-- KEYS[1] schedulers (hash)         replica to '<expires ms> <JSON>'
-- KEYS[2] partition-leases (hash)   partition to '<expires ms> <token> <JSON [replica, address]>'
-- ARGV[1] the replica that ends, or ''; [2…] partition, token
-- Returns 1.

if ARGV[1] ~= '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
local now_ms = store_now()
for i = 2, #ARGV, 2 do
  if valid_lease(redis.call('HGET', KEYS[2], ARGV[i]), now_ms) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[2], ARGV[i])
  end
end
return 1
