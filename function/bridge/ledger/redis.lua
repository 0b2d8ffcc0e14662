-- The ledger's verbs over Redis, each one atomic run of this script. Times are seconds on Redis's own clock.
--
-- KEYS[1] is the prefix of every key. Its braces keep them in one slot of a cluster.
--   delivery:<name>   a hash: the delivery, its owner, its calls, its outcome
--   unknown:<content> a set: the deliveries of this content whose outcome is not definitive
--   calls:<contact>   a sorted set: the contact's deliveries by their last call
--   wrong:<contact>   a sorted set: those that may have been a wrong code
--   lock:<contact>    "<delivery> <lease>"
--   pace:<action>     a hash: the next free slot and the rate's factor
--   removal:<exact>   the contact is to be taken off the account's list
--   spent:<content>   this pair was verified, and its contact taken off the list
-- ARGV[1] is the verb, ARGV[2] to ARGV[11] what holds for every delivery, the rest belongs to the verb.

local prefix, verb = KEYS[1], ARGV[1]
local ttl, wrong_codes, window, interval, kept = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
  tonumber(ARGV[5]), tonumber(ARGV[6])
local lease_limit, content_replay = tonumber(ARGV[7]), tonumber(ARGV[8])
local slower, slowest, faster = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local argument = function(n) return ARGV[11 + n] end
local number = function(n) return tonumber(ARGV[11 + n]) end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local TIMES = {'expires', 'claimed', 'lease', 'counted', 'sent', 'gave_up', 'sent2', 'gave_up2'}

local function text(seconds)
  return string.format('%.6f', seconds)
end

local function key(kind, name)
  return prefix .. kind .. ':' .. name
end

-- Let a key live for so long at least: what several deliveries share lives as long as the last of them.
local function expire(name, seconds)
  local life = math.ceil(math.max(seconds, 1) * 1000)
  if redis.call('PTTL', name) < life then redis.call('PEXPIRE', name, life) end
end

local function load(delivery)
  local flat = redis.call('HGETALL', key('delivery', delivery))
  if #flat == 0 then return nil end
  local row = {delivery = delivery}
  for i = 1, #flat, 2 do row[flat[i]] = flat[i + 1] end
  for _, name in ipairs(TIMES) do row[name] = tonumber(row[name]) end
  return row
end

local function unlock(row)
  local lock = redis.call('GET', key('lock', row.contact))
  if lock and lock:match('^(%S+) ') == row.delivery then redis.call('DEL', key('lock', row.contact)) end
end

local function is_live(lease)
  return lease ~= nil and now < lease and lease <= now + lease_limit
end

local function is_locked_by_another(row)
  local lock = redis.call('GET', key('lock', row.contact))
  if not lock then return false end
  local holder, lease = lock:match('^(%S+) (%S+)$')
  return holder ~= row.delivery and is_live(tonumber(lease))
end

-- Write a delivery, and what finds it, in step.
local function save(row)
  local name, flat = key('delivery', row.delivery), {}
  for field, value in pairs(row) do
    if field ~= 'delivery' then
      flat[#flat + 1] = field
      flat[#flat + 1] = type(value) == 'number' and text(value) or value
    end
  end
  local life = math.max(row.expires, row.claimed + kept) - now
  redis.call('DEL', name)
  redis.call('HSET', name, unpack(flat))
  expire(name, life)
  if row.state == 'settled' then
    redis.call('SREM', key('unknown', row.content), row.delivery)
  else
    redis.call('SADD', key('unknown', row.content), row.delivery)
    expire(key('unknown', row.content), life)
  end
  if row.sent or row.sent2 then
    redis.call('ZADD', key('calls', row.contact), text(row.sent2 or row.sent), row.delivery)
    redis.call('ZREMRANGEBYSCORE', key('calls', row.contact), '-inf', text(now - math.max(kept, ttl) - lease_limit))
    expire(key('calls', row.contact), life)
  end
  if row.counted then
    redis.call('ZADD', key('wrong', row.contact), text(row.counted), row.delivery)
    expire(key('wrong', row.contact), window + lease_limit)
  else
    redis.call('ZREM', key('wrong', row.contact), row.delivery)
  end
  if row.lease and not is_locked_by_another(row) then
    redis.call('SET', key('lock', row.contact), row.delivery .. ' ' .. text(row.lease))
    expire(key('lock', row.contact), life)
  elseif not row.lease then
    unlock(row)
  end
end

local function remove(row)
  redis.call('DEL', key('delivery', row.delivery))
  redis.call('SREM', key('unknown', row.content), row.delivery)
  redis.call('ZREM', key('calls', row.contact), row.delivery)
  redis.call('ZREM', key('wrong', row.contact), row.delivery)
  unlock(row)
end

-- A call that was never seen to end is over with its lease.
local function calls_of(row, into)
  for _, pair in ipairs({{row.sent, row.gave_up}, {row.sent2, row.gave_up2}}) do
    if pair[1] then
      into[#into + 1] = text(pair[1])
      into[#into + 1] = text(math.max(pair[1], pair[2] or row.lease or pair[1]))
    end
  end
end

local function close_calls(row)
  if row.sent then row.gave_up = row.gave_up or row.lease or row.sent end
  if row.sent2 then row.gave_up2 = row.gave_up2 or row.lease or row.sent2 end
end

local function factor_of(pace)
  local since = now - pace.slowed
  return since < -1 and 1 or math.min(1, pace.factor + faster * math.max(0, since))
end

local function pace_of(action)
  local values = redis.call('HMGET', key('pace', action), 'free', 'at', 'factor', 'slowed')
  return {free = tonumber(values[1] or 0), at = tonumber(values[2] or 0), factor = tonumber(values[3] or 1),
    slowed = tonumber(values[4] or 0)}
end

local function save_pace(action, pace)
  redis.call('HSET', key('pace', action), 'free', text(pace.free), 'at', text(pace.at), 'factor', text(pace.factor),
    'slowed', text(pace.slowed))
  expire(key('pace', action), lease_limit * 2)
end

-- The wait for the action's next free slot, and whether it was reserved.
local function slot(action, max_wait)
  local pace = pace_of(action)
  local free = pace.at > now + 1 and now or math.max(now, pace.free)
  local wait = free - now
  if wait > max_wait then return wait, false end
  pace.free, pace.at = free + interval / factor_of(pace), now
  save_pace(action, pace)
  return wait, true
end

local function record_of(row)
  return {row.outcome, row.request_id or '', row.resolved or '0', row.contact_type}
end

local function owned(delivery, token)
  local row = load(delivery)
  if row and row.token == token and row.state == 'claimed' then return row end
  return nil
end

-- A delivery counts as a wrong code once, at its first time, which is forgotten as a delivery.
local function count_once(fresh, before, at)
  fresh.counted = at
  if before then
    fresh.counted, before.counted = before.counted, nil
    save(before)
  end
end

local verbs = {}

-- delivery, content, contact, exact, contact type, transient, token, lease, seconds to wait at most, action,
-- the outcomes of a spent pair and of too many wrong codes, whether the first is not to be told from a wrong code
function verbs.claim()
  local delivery, content, contact, exact = argument(1), argument(2), argument(3), argument(4)
  local contact_type, transient, token = argument(5), argument(6), argument(7)
  local lease, max_wait, action = number(8), number(9), argument(10)
  local row = load(delivery)
  local again = row ~= nil and row.state == 'claimed' and row.token == token -- its first answer was lost on the way
  if row and row.expires > now and not again then
    if row.content ~= content then return {'reused', text(now)} end
    if row.state == 'settled' then return {'replay', text(now), '0', record_of(row)} end
    if row.state == 'claimed' and is_live(row.lease) then return {'in-flight', text(now)} end
  end
  local before
  if row and row.expires <= now then
    -- Forgotten as a delivery, but its calls are history that others' unknown outcomes are judged by.
    remove(row)
    close_calls(row)
    row.delivery, row.state, row.lease = token .. '.called', 'settled', nil
    if row.sent or row.sent2 or row.counted then save(row) end
    if row.content == content and row.counted and row.counted > now - window then before = row end
    row = nil
  end
  if is_locked_by_another({delivery = delivery, contact = contact}) then return {'busy', text(now)} end
  local removal = redis.call('EXISTS', key('removal', exact)) == 1 and '1' or '0'
  if again and row.sent and not row.gave_up then
    return {'owned', text(now), text(math.max(0, row.sent - now)), {}, removal, '0', {}, {}}
  end
  local fresh = {delivery = delivery, content = content, contact = contact, contact_type = contact_type,
    transient = transient, state = 'claimed', token = token, claimed = now, lease = now + lease,
    expires = now + lease + ttl}

  local calls, unknown = {}, false
  for _, name in ipairs(redis.call('SMEMBERS', key('unknown', content))) do
    local other = load(name)
    if other and other.state ~= 'settled' and other.expires > now then
      unknown = true
      calls_of(other, calls)
    end
  end
  if unknown then
    if row then
      close_calls(row)
      row.state, row.token, row.claimed = 'claimed', token, now
      row.lease, row.expires = now + lease, now + lease + ttl
      save(row)
    else
      save(fresh)
    end
    local rivals = {}
    for _, name in ipairs(redis.call('ZRANGE', key('calls', contact), 0, -1)) do
      local other = load(name)
      if other and other.content ~= content then calls_of(other, rivals) end
    end
    return {'owned', text(now), '0', {}, removal, '1', calls, rivals}
  end

  local decided
  local spent = redis.call('GET', key('spent', content))
  redis.call('ZREMRANGEBYSCORE', key('wrong', contact), '-inf', text(now - window))
  local exhausted = wrong_codes > 0 and redis.call('ZCARD', key('wrong', contact)) >= wrong_codes
  local hides = argument(13) == '1'
  if spent and tonumber(spent) > now and not (exhausted and hides) then
    decided = argument(11)
    if hides then count_once(fresh, before, now) end
  elseif exhausted then
    decided = argument(12)
  end
  if decided then
    fresh.state, fresh.outcome, fresh.token, fresh.lease = 'settled', decided, nil, nil
    fresh.expires = now + (transient == '1' and content_replay or ttl)
    save(fresh)
    return {'decided', text(now), '0', record_of(fresh)}
  end

  local wait, fits = slot(action, max_wait)
  if not fits then return {'no-slot', text(now), text(wait)} end
  fresh.sent = now + wait
  count_once(fresh, before, fresh.sent)
  save(fresh)
  return {'owned', text(now), text(wait), {}, removal, '0', {}, {}}
end

-- delivery, token, seconds to wait at most, action
function verbs.attempt()
  local row = owned(argument(1), argument(2))
  if not row or row.sent2 then return {} end
  local wait, fits = slot(argument(4), number(3))
  if fits then
    row.sent2 = now + wait
    row.counted = row.counted or row.sent2
    save(row)
  end
  return {text(wait), fits and '1' or '0'}
end

-- delivery, token, outcome or nothing, request id, resolved, sent, gave up, counts, seconds of removal, exact, verified,
-- content, contact, contact type, transient, sent and gave up in seconds after the claim
function verbs.settle()
  local token, outcome, sent, removal = argument(2), argument(3), argument(6), number(9)
  local row = owned(argument(1), token)
  local settled = load(argument(1))
  if not settled then -- the server forgot it
    row = {delivery = argument(1), content = argument(12), contact = argument(13), contact_type = argument(14),
      transient = argument(15), state = 'claimed', claimed = now, sent = now, counted = now}
  end
  if not row then
    return settled ~= nil and settled.settled_by == token and '1' or '0' -- its first answer was lost on the way
  end
  if sent ~= '' then
    -- Either bound is late by what the ledger took for its answer, or for its claim.
    local began = math.min(now - number(6), row.claimed + number(16))
    local ended = math.max(began, math.min(now - number(7), row.claimed + number(17)))
    if row.sent2 then row.sent2, row.gave_up2 = began, ended else row.sent, row.gave_up = began, ended end
  end
  row.token, row.lease, row.settled_by = nil, nil, token
  if outcome == '' then
    row.state, row.expires = 'unknown', now + ttl
    save(row)
    return '1'
  end
  if argument(11) == '1' then
    row.counted = nil
    for _, name in ipairs(redis.call('ZRANGE', key('wrong', row.contact), 0, -1)) do
      if redis.call('EXISTS', key('delivery', name)) == 1 then
        redis.call('HDEL', key('delivery', name), 'counted')
      end
    end
    redis.call('DEL', key('wrong', row.contact))
  elseif argument(8) ~= '1' then
    row.counted = nil
  end
  -- Whatever else was unknown about this content is known now, too.
  local rows = {row}
  for _, name in ipairs(redis.call('SMEMBERS', key('unknown', row.content))) do
    local other = name ~= row.delivery and load(name)
    if other and other.state ~= 'settled' then
      close_calls(other)
      other.token, other.lease = nil, nil
      rows[#rows + 1] = other
    end
  end
  for _, one in ipairs(rows) do
    one.state, one.outcome, one.request_id, one.resolved = 'settled', outcome, argument(4), argument(5)
    one.expires = now + (one.transient == '1' and content_replay or ttl)
  end
  if removal > 0 then
    row.token, row.lease = token, now + removal
    redis.call('SET', key('removal', argument(10)), '1')
    redis.call('SET', key('spent', row.content), text(now + ttl))
    expire(key('spent', row.content), ttl)
  end
  for i = #rows, 1, -1 do save(rows[i]) end
  return '1'
end

-- delivery, token
function verbs.release()
  local row = owned(argument(1), argument(2))
  if not row then return '0' end
  if row.sent and not row.gave_up then
    remove(row)
    if row.counted and row.counted < row.claimed then -- the wrong code of its first time stays counted
      row.delivery = argument(2) .. '.counted'
      row.state, row.token, row.lease, row.sent = 'settled', nil, nil, nil
      save(row)
    end
  else
    if row.sent2 and not row.gave_up2 then row.sent2 = nil end
    row.state, row.token, row.lease, row.expires = 'unknown', nil, nil, now + ttl
    save(row)
  end
  return '1'
end

-- delivery, token, exact, removed
function verbs.unlock()
  local row = load(argument(1))
  if not row or row.token ~= argument(2) or not is_live(row.lease) then return '0' end
  if argument(4) == '1' then redis.call('DEL', key('removal', argument(3))) end
  if row.state == 'settled' then
    row.token, row.lease = nil, nil
    save(row)
  end
  return '1'
end

-- action, seconds to wait at most
function verbs.reserve()
  local wait, fits = slot(argument(1), number(2))
  return {text(wait), fits and '1' or '0'}
end

-- action
function verbs.slow_down()
  local pace = pace_of(argument(1))
  local since = now - pace.slowed
  if not (pace.factor < 1 and since >= 0 and since < 1) then
    pace.factor, pace.slowed = math.max(slowest, factor_of(pace) * slower), now
    save_pace(argument(1), pace)
  end
  return '1'
end

-- delivery
function verbs.look()
  local row = load(argument(1))
  if not row or row.expires <= now then return {} end
  if row.state == 'settled' then return {'settled', row.content, record_of(row)} end
  return {row.state == 'claimed' and is_live(row.lease) and 'in-flight' or 'unknown', row.content}
end

-- what tells the key in use from another one
function verbs.check()
  local known = redis.call('GET', prefix .. 'key')
  redis.call('SET', prefix .. 'key', argument(1))
  return known and known ~= argument(1) and '1' or '0'
end

return verbs[verb]()
