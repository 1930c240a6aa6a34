-- The shared memory in Redis: every method is one call of this script, so it is one atomic step.
--
-- KEYS[1]  what all keys begin with: a hash tag, so that they are on one node
-- ARGV[1]  the method; ARGV[2]  who calls, for the channel; ARGV[3]  things per shelf at most; the
--          method's own from ARGV[4] on
--
-- h:<subject>          hash: id -> "shelf at over origin payload" of what is told
-- e:<subject>          its ids by when they are over
-- s:<shelf>:<subject>  its ids by when they happened
-- l:<subject>          hash: k the subject it became, v the one it was absorbed by at first, n note
-- m:<subject>          who became it, and some whose link is over
-- g:<subject>          a tombstone
-- changed              the channel: "<who> <subject> <subject> ..."

local P, who, MOST = KEYS[1] .. ':', ARGV[2], tonumber(ARGV[3])
if redis.replicate_commands then redis.replicate_commands() end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local function text(seconds) return string.format('%.6f', seconds) end

local function key(kind, name) return P .. kind .. ':' .. name end

local function keep(name, seconds)
  -- Never shorter than before: others rely on it.
  local ms = math.max(1, math.ceil(seconds * 1000))
  if redis.call('PTTL', name) < ms then redis.call('PEXPIRE', name, string.format('%.0f', ms)) end
end

local function publish(changed)
  local names = {who}
  for name in pairs(changed) do names[#names + 1] = name end
  if #names > 1 then redis.call('PUBLISH', P .. 'changed', table.concat(names, ' ')) end
end

-- ---- what is told

local function head(record)
  return string.match(record, '^(%S+) (%S+) (%S+) (%S+) ()')
end

local function drop(subject, id)
  local record = redis.call('HGET', key('h', subject), id)
  if record then
    redis.call('HDEL', key('h', subject), id)
    redis.call('ZREM', key('s:' .. head(record), subject), id)
  end
  redis.call('ZREM', key('e', subject), id)
end

local function tidy(subject)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('e', subject), '-inf', text(now))) do
    drop(subject, id)
  end
end

local function enter(root, id, shelf, at, over, record)
  if redis.call('HEXISTS', key('h', root), id) == 1 then return false end
  redis.call('HSET', key('h', root), id, record)
  redis.call('ZADD', key('e', root), text(over), id)
  redis.call('ZADD', key('s:' .. shelf, root), at, id)
  for _, kind in ipairs({'h', 'e', 's:' .. shelf}) do keep(key(kind, root), over - now) end
  return true
end

local function trim(root, shelf)
  for _, id in ipairs(redis.call('ZRANGE', key('s:' .. shelf, root), 0, -(MOST + 1))) do
    drop(root, id)
  end
end

local function wipe(subject)
  for _, record in ipairs(redis.call('HVALS', key('h', subject))) do
    redis.call('DEL', key('s:' .. head(record), subject))
  end
  redis.call('DEL', key('h', subject), key('e', subject))
end

-- ---- who is who

local function is_forgotten(subject) return redis.call('EXISTS', key('g', subject)) == 1 end

local function root_of(subject) return redis.call('HGET', key('l', subject), 'k') or subject end

local function members(root)
  local found, via = {}, {}
  for _, each in ipairs(redis.call('SMEMBERS', key('m', root))) do
    local link = redis.call('HMGET', key('l', each), 'k', 'v')
    if link[1] == root then
      found[#found + 1] = each
      via[each] = link[2]
    end
  end
  table.sort(found)
  return found, via
end

local function under(subject, via, seen)
  for each, by in pairs(via) do
    if by == subject and not seen[each] then
      seen[each] = true
      under(each, via, seen)
    end
  end
  return seen
end

local function move_to(subject, root)
  local name = key('l', subject)
  redis.call('SREM', key('m', redis.call('HGET', name, 'k')), subject)
  redis.call('HSET', name, 'k', root)
  redis.call('SADD', key('m', root), subject)
  keep(key('m', root), redis.call('PTTL', name) / 1000)
end

-- ---- methods

local function put(...)
  local given, changed, tidied = {...}, {}, {}
  for i = 1, #given, 6 do
    local subject, id, shelf, at, seconds, payload = unpack(given, i, i + 5)
    local root, over = root_of(subject), now + tonumber(seconds)
    if over > now and not is_forgotten(root) then
      if not tidied[root] then tidy(root) end
      tidied[root] = true
      local record = table.concat({shelf, at, text(over), subject, payload}, ' ')
      if enter(root, id, shelf, at, over, record) then
        changed[root] = true
        trim(root, shelf)
      end
    end
  end
  publish(changed)
  return 0
end

local function read(...)
  local out = {text(now)}
  for _, subject in ipairs({...}) do
    if is_forgotten(subject) then
      out[#out + 1] = {1}
    else
      local link = redis.call('HMGET', key('l', subject), 'k', 'n')
      local told = redis.call('HGETALL', key('h', subject))
      out[#out + 1] = {0, link[1] or '', link[2] or '', members(subject), told}
    end
  end
  return out
end

local function link(absorb, by, note, seconds)
  local root, there = root_of(by), redis.call('HGET', key('l', absorb), 'k')
  if root == absorb or is_forgotten(absorb) or is_forgotten(root) then return 0 end
  if there and there ~= root then return 0 end
  local name = key('l', absorb)
  redis.call('HSET', name, 'k', root, 'n', note)
  keep(name, tonumber(seconds))
  redis.call('SADD', key('m', root), absorb)
  keep(key('m', root), tonumber(seconds))
  if there then return 1 end
  redis.call('HSET', name, 'v', by)
  local changed = {[absorb] = true, [root] = true}
  for _, each in ipairs(members(absorb)) do
    move_to(each, root)
    changed[each] = true
  end
  tidy(absorb)
  tidy(root)
  local told, shelves = redis.call('HGETALL', key('h', absorb)), {}
  wipe(absorb)
  for i = 1, #told, 2 do
    local shelf, at, over = head(told[i + 1])
    enter(root, told[i], shelf, at, tonumber(over), told[i + 1])
    shelves[shelf] = true
  end
  for shelf in pairs(shelves) do trim(root, shelf) end
  publish(changed)
  return 1
end

local function unlink(absorb)
  local root = redis.call('HGET', key('l', absorb), 'k')
  if not root then return 0 end
  local _, via = members(root)
  local changed = {[absorb] = true, [root] = true}
  redis.call('SREM', key('m', root), absorb)
  for each in pairs(under(absorb, via, {[absorb] = true})) do
    if each ~= absorb then move_to(each, absorb) end
    changed[each] = true
  end
  redis.call('DEL', key('l', absorb))
  publish(changed)
  return 1
end

local function forget_one(subject, seconds, changed)
  local root, count = root_of(subject), 0
  local _, via = members(root)
  local gone = under(subject, via, {[subject] = true})
  tidy(root)
  if root == subject then
    count = redis.call('HLEN', key('h', root))
    wipe(root)
  else
    local told = redis.call('HGETALL', key('h', root))
    for i = 1, #told, 2 do
      local _, _, _, origin = head(told[i + 1])
      if gone[origin] then
        drop(root, told[i])
        count = count + 1
      end
    end
  end
  changed[root] = true
  for each in pairs(gone) do
    changed[each] = true
    redis.call('DEL', key('l', each))
    redis.call('SREM', key('m', root), each)
    if seconds > 0 then
      redis.call('SET', key('g', each), '1', 'NX', 'PX', 1)
      keep(key('g', each), seconds)
    end
  end
  return count
end

local function forget(seconds, ...)
  local count, changed = 0, {}
  for _, subject in ipairs({...}) do count = count + forget_one(subject, tonumber(seconds), changed) end
  publish(changed)
  return count
end

local methods = {put = put, read = read, link = link, unlink = unlink, forget = forget}
return methods[ARGV[1]](unpack(ARGV, 4))
