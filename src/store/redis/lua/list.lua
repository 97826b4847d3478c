-- ARGV: kind, where to begin and where to end as ZRANGEBYLEX has it, how many, and the states. Answers that many rows of
-- each state, each after its name.
local found = {}
for at = 5, #ARGV do
  local page = redis.call('ZRANGEBYLEX', names(ARGV[1], ARGV[at]), ARGV[2], ARGV[3], 'LIMIT', '0', ARGV[4])
  for _, name in ipairs(page) do
    table.insert(found, name)
    table.insert(found, read(ARGV[1], name))
  end
end
return found
