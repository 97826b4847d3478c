-- ARGV: kind, name and time of each use.
for at = 1, #ARGV, 3 do
  local key, used = row(ARGV[at], ARGV[at + 1]), ARGV[at + 2]
  local state, noted = unpack(redis.call('HMGET', key, 'state', 'last_used'))
  if state and state ~= GONE and (not noted or tonumber(noted) < tonumber(used)) then
    redis.call('HSET', key, 'last_used', used)
  end
end
return {}
