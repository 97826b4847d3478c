-- ARGV: an id for the store in case it has none yet, and the format of a new store; nothing where none is to be made. Answers its id and
-- format, or nothing where there is none.
return enter(ARGV[1], ARGV[2])
