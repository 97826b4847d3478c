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

local function read(kind, name)
  return redis.call('HMGET', row(kind, name), 'revision', 'grant', 'version', 'state', 'due', 'body', 'last_used')
end
