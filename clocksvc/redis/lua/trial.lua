-- Try every command that the other scripts and the store use. Remove the key that these trials write.
-- KEYS[1] trial (list)   exists only while this script runs
-- Returns the commands that the user may not run.

local key = KEYS[1]
local trials = {
  {'BLPOP', key, 1}, {'DEL', key}, {'EXISTS', key}, {'GET', key}, {'HDEL', key, 'f'},
  {'HEXISTS', key, 'f'}, {'HGET', key, 'f'}, {'HGETALL', key}, {'HINCRBY', key, 'f', 'no number'}, {'HKEYS', key},
  {'HLEN', key}, {'HMGET', key, 'f'}, {'HSET', key, 'f', 'v', 'no value'}, {'LPOP', key}, {'PERSIST', key}, {'PEXPIRE', key, 1},
  {'PEXPIREAT', key, 1}, {'PTTL', key}, {'RENAME', key, key}, {'SET', key, 'v', 'no option'}, {'TIME'},
  {'XADD', key, 'no id', 'f', 'v'}, {'XLEN', key}, {'XRANGE', key, '-', '+'}, {'XREAD', 'STREAMS', key, 0},
  {'XREVRANGE', key, '+', '-'}, {'XTRIM', key, 'MINID', 0}, {'ZADD', key, 'XX', 0, 'm'}, {'ZCARD', key},
  {'ZCOUNT', key, 0, 0}, {'ZMSCORE', key, 'm'}, {'ZRANGE', key, 0, 0}, {'ZRANGEBYSCORE', key, 0, 0},
  {'ZREMRANGEBYRANK', key, 0, 0}, {'ZSCORE', key, 'm'},
}
local undone = {{'HSETNX', key, 'f', 'v'}, {'RPUSH', key, 'v'}}
local denied = {}

-- Returns false if the user may not run the command. Redis 7 and Valkey report `ACL failure`; Redis 6.2 reports only
-- that the user can't run the command.
local function may(trial)
  local answer = redis.pcall(unpack(trial))
  local err = type(answer) == 'table' and answer.err or ''
  if string.find(err, 'ACL failure', 1, true) or string.find(err, 'user executing the script', 1, true) then
    denied[#denied + 1] = trial[1]
    return false
  end
  return true
end

for _, trial in ipairs(trials) do
  may(trial)
end
if may({'DEL', key}) then
  for _, trial in ipairs(undone) do
    may(trial)
    redis.call('DEL', key)
  end
else
  denied[#denied] = nil
end
return denied
