-- Tries every command that the other scripts use, on keys that hold nothing afterwards. Answers the errors. A script that
-- stops halfway for want of a right would leave half a batch behind.
local HASH, SET = prefix .. 'probe:hash', prefix .. 'probe:set'
local faults = {}
for _, command in ipairs({
  { 'HSET', HASH, 'field', 'value' }, { 'HGET', HASH, 'field' }, { 'HMGET', HASH, 'field' }, { 'HDEL', HASH, 'field' },
  { 'ZADD', SET, '0', 'member' }, { 'ZRANGEBYLEX', SET, '-', '+' }, { 'ZRANGEBYSCORE', SET, '0', '0' },
  { 'ZREM', SET, 'member' }, { 'SET', HASH, 'value', 'PX', '1' }, { 'GET', HASH }, { 'DEL', HASH, SET }, { 'TIME' },
}) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then table.insert(faults, command[1] .. ' ' .. answer.err) end
end
return faults
