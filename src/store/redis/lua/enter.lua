-- ARGV: an id for the store in case it has none yet, and the format of a new store; nothing where none is to be made. Answers its id and
-- format, or nothing where there is none.
local found = redis.call('HMGET', STORE, 'id', 'format')
if found[1] then return found end
if not ARGV[1] then return false end
redis.call('HSET', STORE, 'id', ARGV[1], 'format', ARGV[2])
return { ARGV[1], ARGV[2] }
