-- The second half of the script that begins in caps_offers.lua.

-- ---- subjects

local function history(subject)
  local root = who(subject)
  local offers, marks = {}, {}
  local ids = redis.call('ZREVRANGEBYSCORE', key('s', root), '+inf', '(' .. text(now - YEAR), 'LIMIT', 0, MOST_OFFERS)
  for _, id in ipairs(ids) do
    local o = get(id)
    if o then offers[#offers + 1] = told(o) end
  end
  for _, topic in ipairs(redis.call('SMEMBERS', key('kt', root))) do
    local found = {topic}
    local moments = redis.call('ZRANGE', place('k', root, topic), 0, -1, 'WITHSCORES')
    for i = 1, #moments, 2 do
      local kept = redis.call('ZSCORE', place('ku', root, topic), moments[i])
      if kept and tonumber(kept) > now then found[#found + 1] = moments[i + 1] end
    end
    if #found > 1 then marks[#marks + 1] = found end
  end
  return {offers, redis.call('SISMEMBER', P .. 'out', root), marks, text(now)}
end

local function enter_mark(root, topic, unique, moment, kept)
  local k, ku = place('k', root, topic), place('ku', root, topic)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', ku, '-inf', text(now))) do
    redis.call('ZREM', k, old)
    redis.call('ZREM', ku, old)
  end
  local before = redis.call('ZSCORE', k, unique)
  if kept > now and (not before or tonumber(before) > moment) then
    redis.call('ZADD', k, text(moment), unique)
    redis.call('ZADD', ku, text(kept), unique)
    for _, name in ipairs({k, ku, key('kt', root)}) do
      if name == key('kt', root) then redis.call('SADD', name, topic) end
      keep(name, kept - now)
    end
  end
  for _, old in ipairs(redis.call('ZRANGE', k, 0, -(MOST_MARKS + 1))) do
    redis.call('ZREM', k, old)
    redis.call('ZREM', ku, old)
  end
end

local function mark(subject, topic, unique, seconds)
  enter_mark(who(subject), topic, unique, now, now + tonumber(seconds))
  return {}
end

-- Under every name, for names expire and this does not.
local function put_out(root)
  redis.call('SADD', P .. 'out', root)
  for _, each in ipairs(redis.call('SMEMBERS', key('ms', root))) do redis.call('SADD', P .. 'out', each) end
end

local function opt_out(subject)
  put_out(who(subject))
  return {}
end

local function become(old, root)
  redis.call('SET', key('m', old), root, 'EX', YEAR)
  redis.call('SADD', key('ms', root), old)
  keep(key('ms', root), YEAR)
end

local function move(kind, old, root)
  if redis.call('EXISTS', key(kind, old)) == 1 then
    redis.call('ZUNIONSTORE', key(kind, root), 2, key(kind, root), key(kind, old), 'AGGREGATE', 'MAX')
    keep(key(kind, root), 2 * YEAR)
    redis.call('DEL', key(kind, old))
  end
end

local function merge_clock(old, root, clock)
  for _, id in ipairs(redis.call('ZRANGE', place('c', old, clock), 0, -1)) do
    local o = get(id)
    if o then
      local places, is_there = {}, false
      for _, at in ipairs(o.cl) do
        if at[1] == old then at[1] = root end
        local is_same = at[1] == root and at[2] == clock
        if not (is_same and is_there) then places[#places + 1] = at end
        is_there = is_there or is_same
      end
      redis.call('HSET', key('o', id), 'cl', cjson.encode(places))
    end
  end
  for _, kind in ipairs({'c', 'd', 'a'}) do
    move(kind, #old .. ':' .. old .. ':' .. clock, #root .. ':' .. root .. ':' .. clock)
  end
  redis.call('SADD', key('cs', root), clock)
  keep(key('cs', root), 2 * YEAR)
end

local function merge(old, into)
  local root, known = who(into), redis.call('GET', key('m', old))
  if known or root == old then
    if known == root then keep_aliases(root, YEAR) end
    return {}
  end
  for _, each in ipairs(redis.call('SMEMBERS', key('ms', old))) do become(each, root) end
  redis.call('DEL', key('ms', old))
  become(old, root)
  for _, id in ipairs(redis.call('ZRANGE', key('s', old), 0, -1)) do
    if redis.call('EXISTS', key('o', id)) == 1 then redis.call('HSET', key('o', id), 's', root) end
  end
  for _, clock in ipairs(redis.call('SMEMBERS', key('cs', old))) do merge_clock(old, root, clock) end
  for _, topic in ipairs(redis.call('SMEMBERS', key('kt', old))) do
    local k, ku = place('k', old, topic), place('ku', old, topic)
    local moments = redis.call('ZRANGE', k, 0, -1, 'WITHSCORES')
    for i = 1, #moments, 2 do
      local kept = redis.call('ZSCORE', ku, moments[i])
      if kept then enter_mark(root, topic, moments[i], tonumber(moments[i + 1]), tonumber(kept)) end
    end
    redis.call('DEL', k, ku)
  end
  for _, id in ipairs(redis.call('ZRANGE', key('ts', old), 0, -1)) do
    if redis.call('EXISTS', key('t', id)) == 1 then redis.call('HSET', key('t', id), 's', root) end
  end
  for _, kind in ipairs({'s', 'l', 'ts'}) do move(kind, old, root) end
  redis.call('DEL', key('cs', old), key('kt', old))
  if redis.call('SISMEMBER', P .. 'out', old) + redis.call('SISMEMBER', P .. 'out', root) > 0 then put_out(root) end
  return {}
end

-- ---- later

local function drop_due(id, subject)
  redis.call('DEL', key('t', id))
  redis.call('ZREM', P .. 'due', id)
  redis.call('ZREM', key('ts', subject), id)
end

local function schedule(id, subject, seconds, record, topic)
  if redis.call('EXISTS', key('t', id)) == 1 then return '0' end
  local root, delay = who(subject), tonumber(seconds)
  local lasts = math.max(0, delay) + YEAR
  redis.call('HSET', key('t', id), 's', root, 'r', record, 'tp', topic)
  for _, name in ipairs({P .. 'due', key('ts', root)}) do
    redis.call('ZADD', name, text(now + delay), id)
    keep(name, lasts)
  end
  keep(key('t', id), lasts)
  return '1'
end

local function cancel(subject, topic)
  local root, count = who(subject), 0
  for _, id in ipairs(redis.call('ZRANGE', key('ts', root), 0, -1)) do
    local its = redis.call('HGET', key('t', id), 'tp')
    if topic == '' or its == topic then
      drop_due(id, root)
      count = count + (its and 1 or 0)
    end
  end
  return tostring(count)
end

local function take_due(is_one, subject, limit, topics)
  local name = is_one == '1' and key('ts', who(subject)) or P .. 'due'
  local wanted, from, most, out = topics ~= '' and cjson.decode(topics), 0, tonumber(limit), {}
  while #out < most do
    local found = redis.call('ZRANGEBYSCORE', name, '-inf', text(now), 'WITHSCORES', 'LIMIT', from, most)
    for i = 1, #found, 2 do
      local f = redis.call('HMGET', key('t', found[i]), 's', 'r', 'tp')
      if not f[1] then
        redis.call('ZREM', name, found[i])
      elseif #out < most and (not wanted or wanted[f[3]]) then
        out[#out + 1] = {found[i], f[1], text(tonumber(found[i + 1]) - now), f[2], f[3]}
        drop_due(found[i], f[1])
      else
        from = from + 1
      end
    end
    if #found < 2 * most then break end
  end
  return out
end

local function forget(subject)
  local root, count = who(subject), 0
  for _, id in ipairs(redis.call('ZRANGE', key('s', root), 0, -1)) do
    local o = get(id)
    if o then
      remove(o)
      count = count + 1
    end
  end
  for _, clock in ipairs(redis.call('SMEMBERS', key('cs', root))) do
    for _, id in ipairs(redis.call('ZRANGE', place('c', root, clock), 0, -1)) do
      local o = get(id)
      if o then
        local places = {}
        for _, at in ipairs(o.cl) do
          if not (at[1] == root and at[2] == clock) then places[#places + 1] = at end
        end
        redis.call('HSET', key('o', id), 'cl', cjson.encode(places))
      end
    end
    for _, kind in ipairs({'c', 'd', 'a'}) do redis.call('DEL', place(kind, root, clock)) end
  end
  for _, topic in ipairs(redis.call('SMEMBERS', key('kt', root))) do
    redis.call('DEL', place('k', root, topic), place('ku', root, topic))
  end
  cancel(root, '')
  for _, each in ipairs(redis.call('SMEMBERS', key('ms', root))) do redis.call('DEL', key('m', each)) end
  for _, kind in ipairs({'s', 'l', 'cs', 'kt', 'ms', 'ts'}) do redis.call('DEL', key(kind, root)) end
  return tostring(count)
end

local function sweep(limit)
  local out = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'open', '-inf', text(now), 'LIMIT', 0, tonumber(limit))) do
    local o = get(id)
    if o then
      out[#out + 1] = told(o)
      o.en = now
      close(o)
      if not o.sa then leave_clocks(o) end
      enter_state(o, 'lapsed')
      save(o)
    else
      redis.call('ZREM', P .. 'open', id)
    end
  end
  for _, state in ipairs(STATES) do
    local name = key('st', state)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', name, '-inf', text(now), 'LIMIT', 0, 500)) do
      local o = get(id)
      if o then remove(o) end
      redis.call('ZREM', name, id)
    end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', text(now - LATE), 'LIMIT', 0, 500)) do
    local subject = redis.call('HGET', key('t', id), 's')
    drop_due(id, subject or '')
  end
  return out
end

local function counts()
  local states, answers = {}, {}
  for _, state in ipairs(STATES) do
    states[#states + 1] = {state, redis.call('ZCOUNT', key('st', state), '(' .. text(now), '+inf')}
  end
  for _, quota in ipairs(redis.call('SMEMBERS', P .. 'qs')) do
    answers[#answers + 1] = {quota, tonumber(redis.call('GET', key('q', quota)) or 0)}
  end
  return {states, redis.call('ZCARD', P .. 'due'), answers}
end

local methods = {
  reserve = reserve, release = release, find = find, advance = advance, answer = answer,
  history = history, mark = mark, opt_out = opt_out, merge = merge, forget = forget,
  sweep = sweep, schedule = schedule, cancel = cancel, take_due = take_due, counts = counts,
}
return methods[ARGV[1]](unpack(ARGV, 3))
