-- ARGV: the revision after which to begin, and how many. Answers the newest revision and the feed's members with theirs.
local since, limit = '(' .. ARGV[1], ARGV[2]
local found = redis.call('ZRANGEBYSCORE', FEED, since, '+inf', 'WITHSCORES', 'LIMIT', '0', limit)
if #found == 2 * tonumber(limit) then
  -- Whatever else the last revision wrote belongs to it.
  found = redis.call('ZRANGEBYSCORE', FEED, since, found[#found], 'WITHSCORES')
end
return { newest(), found }
