-- ARGV: tenant and owner.
local key = lease(ARGV[1])
local held = redis.call('GET', key)
if held and held:match('^%d+ (.*)$') == ARGV[2] then redis.call('DEL', key) end
return {}
