-- What every script begins with. Before it stand `prefix`, which all keys share, and `now()`, the milliseconds since
-- 1970 by the store's clock. Numbers that are stored or answered are texts, since those of Lua lose their last digits
-- when Redis or Lua itself prints them.
local STORE = KEYS[1]
local FEED = prefix .. 'feed'
local GONE = '2'

local function row(kind, name) return prefix .. 'row:' .. kind .. ':' .. name end
local function names(kind, state) return prefix .. 'names:' .. kind .. ':' .. state end
local function dues(kind) return prefix .. 'due:' .. kind end
local function lease(tenant) return prefix .. 'lease:' .. tenant end
local function member(kind, name) return kind .. ':' .. name end
local function text(number) return string.format('%.0f', number) end

-- The newest revision. A server that has evicted the store's record has the rows still, and goes on from the last of
-- them: it is found by halving, which needs no right that the other scripts do not need.
local function newest()
  local head = redis.call('HGET', STORE, 'head')
  if head then return head end
  local least, most = 0, 2 ^ 53
  while least < most do
    local middle = math.floor((least + most) / 2)
    if redis.call('ZRANGEBYSCORE', FEED, '(' .. text(middle), '+inf', 'LIMIT', '0', '1')[1] then
      least = middle + 1
    else
      most = middle
    end
  end
  return text(least)
end

-- The store's id and format, both made where there are none and an id is given.
local function enter(id, format)
  local found = redis.call('HMGET', STORE, 'id', 'format')
  if found[1] then return found end
  if not id then return false end
  redis.call('HSET', STORE, 'id', id, 'format', format)
  return { id, format }
end

local function read(kind, name)
  return redis.call('HMGET', row(kind, name), 'revision', 'grant', 'version', 'state', 'due', 'body', 'last_used')
end
