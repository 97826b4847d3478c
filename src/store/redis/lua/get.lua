-- ARGV: kind and name of each row.
local found = {}
for at = 1, #ARGV, 2 do table.insert(found, read(ARGV[at], ARGV[at + 1])) end
return found
