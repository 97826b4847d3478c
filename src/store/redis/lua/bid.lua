-- ARGV: tenant, owner, the length in milliseconds, and the time after which the bid is void. Answers nothing when the lease is the
-- owner's now; 'late' when the bid is void; otherwise for how many milliseconds it is whose. The same decision as `Bid::decide`;
-- Redis forgets the key at its end besides.
local key, owner, length = lease(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local now = now()
if now > tonumber(ARGV[4]) then return { 'late' } end
local held = redis.call('GET', key)
if held then
  local ends, holder = held:match('^(%d+) (.*)$')
  ends = tonumber(ends)
  if ends and holder ~= owner and ends > now and ends <= now + length then return { text(ends - now), holder } end
end
redis.call('SET', key, text(now + length) .. ' ' .. owner, 'PX', ARGV[3])
return {}
