-- The cap store in Redis: every method is one call of one script, so it is one atomic step. The
-- script is this file and caps_subjects.lua after it.
--
-- KEYS[1]  what all keys begin with: a hash tag, so that they are on one node
-- ARGV[1]  the method; ARGV[2]  seconds added to the clock; the method's own from ARGV[3] on
--
-- o:<offer>            hash: the offer, the clocks it is entered on, the quotas it takes from
-- s: l:<subject>       offers of a subject: all by when they were reserved, living by their end
-- c: d: a:<place>      a clock of a subject: offers by their moment, dismissals, answers
-- cs:<subject>         names of a subject's clocks
-- u:<name>             offer of a unique name
-- q: ql:<quota>, qs    answers; living reservations by their end; names of quotas
-- m: ms:<subject>      whom a subject became; who became it
-- k: ku:<place>        marks of a topic by their moment, and by how long they are kept
-- kt:<subject>         topics of a subject's marks
-- t:<due>, ts:<subject>, due   what is due, by when
-- open, st:<state>     open offers by their end; offers by when they are dropped
-- out                  who opted out: the only key that lives for ever

local YEAR, LATE, DAY = 365 * 86400, 7 * 86400, 86400
local MOST_OFFERS, MOST_MARKS = 100, 100
local STEPS = {reserved = 1, shown = 2, started = 3, partial = 4}
local STATES = {'reserved', 'shown', 'started', 'partial', 'answered', 'dismissed', 'lapsed', 'revoked'}

local P = KEYS[1] .. ':'
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6 + tonumber(ARGV[2])

local function text(seconds) return string.format('%.6f', seconds) end

local function key(kind, name) return P .. kind .. ':' .. name end

-- Both may hold any character, so the first comes with its length.
local function place(kind, subject, name)
  return P .. kind .. ':' .. #subject .. ':' .. subject .. ':' .. name
end

local function keep(name, seconds)
  -- Never shorter than before: others rely on it.
  local ms = math.max(1, math.ceil(seconds * 1000))
  if redis.call('PTTL', name) < ms then redis.call('PEXPIRE', name, ms) end
end

-- Whoever became a subject is known for as long as something of it is.
local function keep_aliases(root, seconds)
  local aliases = redis.call('SMEMBERS', key('ms', root))
  for _, each in ipairs(aliases) do keep(key('m', each), seconds) end
  if #aliases > 0 then keep(key('ms', root), seconds) end
end

local function who(subject)
  return redis.call('GET', key('m', subject)) or subject
end

-- ---- offers

local function get(id)
  local flat = redis.call('HGETALL', key('o', id))
  if #flat == 0 then return nil end
  local o = {id = id}
  for i = 1, #flat, 2 do o[flat[i]] = flat[i + 1] end
  for _, name in ipairs({'ra', 'ea', 'sa', 'en', 'rev'}) do o[name] = tonumber(o[name]) end
  o.cl, o.qu = cjson.decode(o.cl), cjson.decode(o.qu)
  return o
end

local function told(o)
  return {
    o.id, o.p, o.s, o.st, o.r, text(o.ra), text(o.ea),
    o.sa and text(o.sa) or '', o.en and text(o.en) or '', tostring(o.rev), text(now),
  }
end

local function is_live(state, ends) return STEPS[state] ~= nil and ends > now end

local function is_costing(id)
  local f = redis.call('HMGET', key('o', id), 'st', 'ea', 'sa')
  return f[1] and (f[3] or is_live(f[1], tonumber(f[2]))) and true or false
end

local function give_back(o)
  for name in pairs(o.qu) do redis.call('ZREM', key('ql', name), o.id) end
end

local function close(o)
  redis.call('ZREM', P .. 'open', o.id)
  redis.call('ZREM', key('l', o.s), o.id)
  give_back(o)
end

local function leave_clocks(o)
  for _, at in ipairs(o.cl) do
    for _, kind in ipairs({'c', 'd', 'a'}) do redis.call('ZREM', place(kind, at[1], at[2]), o.id) end
  end
end

local function remove(o)
  close(o)
  leave_clocks(o)
  redis.call('ZREM', key('s', o.s), o.id)
  redis.call('ZREM', key('st', o.st), o.id)
  if o.un ~= '' and redis.call('GET', key('u', o.un)) == o.id then redis.call('DEL', key('u', o.un)) end
  redis.call('DEL', key('o', o.id))
end

local function enter_state(o, state)
  redis.call('ZREM', key('st', o.st), o.id)
  o.st = state
  local lasts = YEAR
  if STEPS[state] then lasts = o.ea - now + YEAR elseif not o.sa then lasts = DAY end
  redis.call('ZADD', key('st', state), text(now + lasts), o.id)
  keep(key('st', state), lasts + YEAR)
  redis.call('PEXPIRE', key('o', o.id), math.max(1, math.ceil(lasts * 1000)))
end

local function save(o)
  redis.call('HSET', key('o', o.id), 'st', o.st, 'rev', tostring(o.rev), 'dg', o.dg,
    'sa', o.sa and text(o.sa) or '', 'en', o.en and text(o.en) or '')
  if not o.sa then redis.call('HDEL', key('o', o.id), 'sa') end
end

local function see(o)
  if o.sa then return end
  o.sa = now
  for _, at in ipairs(o.cl) do redis.call('ZADD', place('c', at[1], at[2]), 'XX', text(now), o.id) end
end

local function note_end(o, kind)
  for _, at in ipairs(o.cl) do
    local name = place(kind, at[1], at[2])
    redis.call('ZADD', name, text(o.en), o.id)
    redis.call('ZREMRANGEBYSCORE', name, '-inf', text(now - YEAR))
    keep(name, YEAR)
  end
end

-- ---- reserving

local function capped(cap)
  local subject = who(cap.subject)
  if cap.within > 0 then
    if cap.most < 1 then return {'denied', cap.reason, ''} end
    local name, since = place('c', subject, cap.clock), now - cap.within
    local found, from = 0, 0
    while true do
      local page = redis.call('ZREVRANGEBYSCORE', name, '+inf', '(' .. text(since), 'WITHSCORES', 'LIMIT', from, 50)
      for i = 1, #page, 2 do
        if is_costing(page[i]) then found = found + 1 end
        if found >= cap.most then return {'denied', cap.reason, text(tonumber(page[i + 1]) - since)} end
      end
      if #page < 100 then break end
      from = from + 50
    end
  end
  for _, each in ipairs({{'d', cap.after_dismissal}, {'a', cap.after_answer}}) do
    if each[2] > 0 then
      local last = redis.call('ZREVRANGE', place(each[1], subject, cap.clock), 0, 0, 'WITHSCORES')
      if last[2] and tonumber(last[2]) > now - each[2] then
        return {'denied', cap.reason, text(tonumber(last[2]) + each[2] - now)}
      end
    end
  end
  return nil
end

local function refusal(ask, subject)
  if redis.call('SISMEMBER', P .. 'out', subject) == 1 then return {'denied', 'opted_out', ''} end
  local last = redis.call('ZREVRANGE', key('l', subject), 0, 0, 'WITHSCORES')
  if last[2] and tonumber(last[2]) > now then
    return {'denied', 'in_flight', text(tonumber(last[2]) - now)}
  end
  local other = ask.unique ~= '' and redis.call('GET', key('u', ask.unique))
  if redis.call('EXISTS', key('o', ask.offer_id)) == 1 or (other and is_costing(other)) then
    return {'denied', 'already_asked', ''}
  end
  for _, cap in ipairs(ask.caps) do
    local denied = capped(cap)
    if denied then return denied end
  end
  for _, quota in ipairs(ask.quotas) do
    keep(key('q', quota.key), YEAR)
    redis.call('ZREMRANGEBYSCORE', key('ql', quota.key), '-inf', text(now))
    local taken = redis.call('ZCARD', key('ql', quota.key)) + tonumber(redis.call('GET', key('q', quota.key)) or 0)
    if taken >= quota.limit then return {'denied', 'quota_full', ''} end
  end
  return nil
end

local function reserve(asked, record)
  local ask = cjson.decode(asked)
  local subject, id = who(ask.subject), ask.offer_id
  local denied = refusal(ask, subject)
  if denied then return denied end
  local ends = now + ask.expires_in
  local lasts = ask.expires_in + YEAR
  keep_aliases(subject, lasts)
  local places, seen, quotas = {}, {}, {}
  for _, cap in ipairs(ask.caps) do
    local at = {who(cap.subject), cap.clock}
    local name = place('c', at[1], at[2])
    if not seen[name] then
      seen[name] = true
      places[#places + 1] = at
      redis.call('ZADD', name, text(now), id)
      redis.call('ZREMRANGEBYSCORE', name, '-inf', text(now - YEAR))
      keep(name, lasts)
      redis.call('SADD', key('cs', at[1]), at[2])
      keep(key('cs', at[1]), lasts)
    end
  end
  for _, quota in ipairs(ask.quotas) do
    quotas[quota.key] = quota.limit
    redis.call('ZADD', key('ql', quota.key), text(ends), id)
    redis.call('SADD', P .. 'qs', quota.key)
    keep(key('ql', quota.key), lasts)
    keep(P .. 'qs', 2 * YEAR)
  end
  local o = {id = id, s = subject, st = 'reserved', ea = ends}
  redis.call('HSET', key('o', id), 'p', ask.prompt, 's', subject, 'st', 'reserved', 'r', record,
    'ra', text(now), 'ea', text(ends), 'rev', '0', 'dg', '', 'un', ask.unique,
    'cl', cjson.encode(places), 'qu', cjson.encode(quotas))
  enter_state(o, 'reserved')
  for _, each in ipairs({{key('s', subject), now}, {key('l', subject), ends}, {P .. 'open', ends}}) do
    redis.call('ZADD', each[1], text(each[2]), id)
    keep(each[1], lasts)
  end
  redis.call('ZREMRANGEBYSCORE', key('s', subject), '-inf', text(now - 2 * YEAR))
  if ask.unique ~= '' then redis.call('SET', key('u', ask.unique), id, 'PX', math.ceil(lasts * 1000)) end
  return {'reserved'}
end

local function release(id)
  local o = get(id)
  if o and o.st == 'reserved' then remove(o) end
  return {}
end

-- ---- the life of an offer

local function find(id)
  local o = get(id)
  if not o then return {} end
  if STEPS[o.st] and o.ea <= now then o.st = 'lapsed' end
  return told(o)
end

local function advance(id, to)
  local o = get(id)
  if not o or not is_live(o.st, o.ea) then return {} end
  local is_end = to == 'dismissed' or to == 'revoked'
  if not is_end and (STEPS[to] or 0) <= STEPS[o.st] then return {} end
  if to ~= 'revoked' then see(o) end
  if is_end then
    o.en = now
    close(o)
    if to == 'dismissed' then note_end(o, 'd') end
    if not o.sa then leave_clocks(o) end
  end
  enter_state(o, to)
  save(o)
  return told(o)
end

local function judged(o, digest, complete, revise_for)
  local live = is_live(o.st, o.ea)
  local completes = complete and o.st == 'partial' and live
  if o.rev > 0 and o.dg == digest and not completes then return 'same' end
  if o.st == 'answered' then
    if not complete or not o.en or now >= o.en + revise_for then return 'conflict' end
  elseif not live then
    return 'gone'
  end
  return o.rev > 0 and 'revised' or 'first'
end

local function answer(id, digest, completes, revise_for)
  local o = get(id)
  if not o then return {'gone', '0'} end
  local complete = completes == '1'
  local outcome = judged(o, digest, complete, tonumber(revise_for))
  if outcome == 'gone' then return {'gone', '0'} end
  if outcome == 'same' or outcome == 'conflict' then return {outcome, '0', told(o)} end
  local was_done = o.st == 'answered'
  local over = '0'
  for name, limit in pairs(o.qu) do
    local answers = tonumber(redis.call('GET', key('q', name)) or 0)
    if answers - (was_done and 1 or 0) >= limit then over = '1' end
  end
  see(o)
  o.rev, o.dg = o.rev + 1, digest
  if not was_done and complete then
    o.en = now
    close(o)
    note_end(o, 'a')
    for name in pairs(o.qu) do
      redis.call('INCR', key('q', name))
      keep(key('q', name), YEAR)
    end
  end
  enter_state(o, complete and 'answered' or 'partial')
  save(o)
  return {outcome, over, told(o)}
end
