-- Return the live replicas of the scheduler and the leases on partitions.
-- KEYS[1] schedulers (hash)         replica to '<expires ms> <JSON>'; since
-- KEYS[2] partition-leases (hash)   partition to '<expires ms> <token> <JSON [replica, address]>'
-- Returns {now ms, announcements complete since ms or '', {replica, JSON, …}, {partition, token, JSON, …}}.

return read_schedulers(KEYS[1], KEYS[2], store_now())
