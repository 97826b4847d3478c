-- ARGV, for each change: kind, name; what is expected ('anything', 'absent', 'revision' with it, 'grant' with it and its
-- version); the row's new state, grant, version, due and body, '' where there is none.
-- Answers 'done' and the revision, or 'conflict' and the number of the change, counted from 0.
local WIDTH = 10
local head = text(tonumber(newest()) + 1)

-- All are looked at before the first is made, as Redis does not undo half a script. What the earlier ones of the batch
-- will have left is in `found`.
local found, was = {}, {}
for at = 1, #ARGV, WIDTH do
  local key, expect = row(ARGV[at], ARGV[at + 1]), ARGV[at + 2]
  if not found[key] then
    local revision, grant, version, state, due =
      unpack(redis.call('HMGET', key, 'revision', 'grant', 'version', 'state', 'due'))
    found[key] = { revision = revision, grant = grant, version = version, state = state }
    was[key] = { state = state, due = due }
  end
  local it = found[key]
  local holds = expect == 'anything'
    or expect == 'absent' and (not it.revision or it.state == GONE)
    or expect == 'revision' and it.revision == ARGV[at + 3]
    or expect == 'grant' and it.state == '0' and it.grant == ARGV[at + 3] and it.version == ARGV[at + 4]
  if not holds then return { 'conflict', text((at - 1) / WIDTH) } end
  found[key] = { revision = head, state = ARGV[at + 5], grant = ARGV[at + 6], version = ARGV[at + 7] }
end

-- The first command is one that Redis refuses when its memory is full; after it, Redis lets the script end.
redis.call('HSET', STORE, 'head', head)
for at = 1, #ARGV, WIDTH do
  local kind, name = ARGV[at], ARGV[at + 1]
  local state, grant, version, due, body = unpack(ARGV, at + 5, at + 9)
  local key = row(kind, name)
  local before = was[key]
  redis.call('HSET', key, 'revision', head, 'state', state, 'grant', grant, 'version', version, 'due', due, 'body', body)
  if state == GONE then redis.call('HDEL', key, 'last_used') end
  redis.call('ZADD', FEED, head, member(kind, name))
  if before.state ~= state then
    if before.state then redis.call('ZREM', names(kind, before.state), name) end
    redis.call('ZADD', names(kind, state), '0', name)
  end
  if due ~= '' then
    redis.call('ZADD', dues(kind), due, name)
  elseif before.due and before.due ~= '' then
    redis.call('ZREM', dues(kind), name)
  end
  was[key] = { state = state, due = due }
end
return { 'done', head }
