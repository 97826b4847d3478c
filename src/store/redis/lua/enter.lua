-- ARGV: an id for the store in case it has none yet; the format of a new store. Answers its id and format.
local found = redis.call('HMGET', STORE, 'id', 'format')
if found[1] then return found end
redis.call('HSET', STORE, 'id', ARGV[1], 'format', ARGV[2])
return { ARGV[1], ARGV[2] }
