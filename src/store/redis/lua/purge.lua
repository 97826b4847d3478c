-- ARGV: kind, the time before which rows are over, and how many at most. Answers how many there were.
local kind = ARGV[1]
local over = redis.call('ZRANGEBYSCORE', dues(kind), '-inf', '(' .. ARGV[2], 'LIMIT', '0', ARGV[3])
for _, name in ipairs(over) do
  local key = row(kind, name)
  local state = redis.call('HGET', key, 'state')
  if state then redis.call('ZREM', names(kind, state), name) end
  redis.call('ZREM', FEED, member(kind, name))
  redis.call('ZREM', dues(kind), name)
  redis.call('DEL', key)
end
return text(#over)
