-- The ledger's verbs over Redis, each one atomic run of this script behind `redis_records.lua`.

-- The answer when the delivery is known and nobody need work on it. A content that was claimed before the clock was set
-- back would be replayed for as long: it is replayed for its usual time from now, or not at all if it `resends`.
local function known(row, content, resends)
  if not row or row.expires <= now then return nil end
  if row.content ~= content then return {'key-mismatch'} end
  if row.state == 'settled' then
    if row.transient == '1' and row.claimed > now + 1 then
      if resends then return nil end
      row.claimed, row.expires = now, math.min(row.expires, now + content_replay)
      save(row)
    end
    return {'replay', record_of(row)}
  end
  if row.state == 'claimed' and is_live(row.lease) then return {'in-flight'} end
  return nil
end

-- Forget it as a delivery; its calls are history that others' unknown outcomes are judged by.
local function forget(row, token)
  remove(row)
  close_calls(row)
  row.delivery, row.state, row.lease = token .. '.called', 'settled', nil
  if row.sent or row.sent2 or row.counted then save(row) end
end

-- The longest wait, and whose it is, when a guard lets no message out now. The guards begin at the nth argument.
local function limited(n)
  local wait, guard = 0, nil
  while argument(n) do
    local name, limit, seconds = key('sends', argument(n + 1)), number(n + 2), number(n + 3)
    -- What seems to be still to come was written before the clock was set back: it counts from now.
    for _, message in ipairs(redis.call('ZRANGEBYSCORE', name, '(' .. text(now), '+inf')) do
      redis.call('ZADD', name, text(now), message)
    end
    local full = redis.call('ZREVRANGE', name, limit - 1, limit - 1, 'WITHSCORES')[2]
    local left = full and tonumber(full) + seconds - now or 0
    if left > wait then wait, guard = left, argument(n) end
    n = n + 4
  end
  return wait, guard
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
  local answer = not again and known(row, content)
  if answer then return answer end
  if not again then check_room() end
  local before
  if row and row.expires <= now then
    forget(row, token)
    if row.content == content and row.counted and row.counted > now - window then before = row end
    row = nil
  end
  if is_locked_by_another({delivery = delivery, contact = contact}) then return {'contact-busy'} end
  local removal = redis.call('EXISTS', key('removal', exact)) == 1 and '1' or '0'
  if again and row.sent and not row.gave_up then
    return {'acquired', text(math.max(0, row.sent - now)), removal, {}}
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
    local rivals, crowded = rivals_of(contact, content, calls)
    return {'acquired', '0', removal, {text(now), calls, rivals, crowded}}
  end

  local decided
  local spent = redis.call('GET', key('spent', content))
  local wrong = key('wrong', contact)
  redis.call('ZREMRANGEBYSCORE', wrong, '-inf', text(now - window))
  redis.call('ZREMRANGEBYRANK', wrong, 0, -1 - math.max(wrong_codes, most_rivals))
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', wrong, '(' .. text(now), '+inf')) do
    redis.call('ZADD', wrong, text(now), name) -- as `load` does
  end
  local exhausted = wrong_codes > 0 and redis.call('ZCARD', wrong) >= wrong_codes
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
    return {'short-circuited', record_of(fresh)}
  end

  local wait, fits = slot(action, max_wait)
  if not fits then return {'rate-limited', text(wait)} end
  fresh.sent = now + wait
  count_once(fresh, before, fresh.sent)
  save(fresh)
  return {'acquired', text(wait), removal, {}}
end

-- delivery, content, contact, contact type, transient, token, lease, seconds to wait at most, action, the longest
-- window, and of each guard its name, series, limit and window
function verbs.claim_send()
  local delivery, content, token = argument(1), argument(2), argument(6)
  local row = load(delivery)
  if row and row.state == 'claimed' and row.token == token then -- its first answer was lost on the way
    return {'acquired', text(math.max(0, row.sent - now)), '0', {}}
  end
  local answer = known(row, content, true)
  if answer then return answer end
  check_room()
  local left, guard = limited(11)
  if guard then return {'send-limited', text(left), guard} end
  local wait, fits = slot(argument(9), number(8))
  if not fits then return {'rate-limited', text(wait)} end
  if row then forget(row, token) end
  local series = {}
  for n = 12, #ARGV - 13, 4 do
    local name = key('sends', argument(n))
    redis.call('ZREMRANGEBYSCORE', name, '-inf', text(now - number(10)))
    redis.call('ZADD', name, text(now), token)
    expire(name, number(10))
    series[#series + 1] = argument(n)
  end
  save({delivery = delivery, content = content, contact = argument(3), contact_type = argument(4),
    transient = argument(5), state = 'claimed', token = token, claimed = now, lease = now + number(7),
    expires = now + number(7) + ttl, sent = now + wait, series = table.concat(series, ' ')})
  return {'acquired', text(wait), '0', {}}
end

-- delivery, token, seconds to wait at most, action
function verbs.begin_retry()
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
-- content, contact, contact type, transient, sent and gave up in seconds after the claim, seconds for which what is known
-- by its content is replayed
-- A full server accepts this and `release`, whose first write is a DEL or its like: a call that was made is recorded.
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
    one.expires = now + (one.transient == '1' and number(18) or ttl)
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
  for series in (row.series or ''):gmatch('%S+') do -- a message that was certainly not sent
    redis.call('ZREM', key('sends', series), argument(2))
  end
  if row.sent and not row.gave_up then
    remove(row)
    if row.counted and row.counted < math.min(row.claimed, now) then -- the wrong code of its first time stays counted
      row.delivery = argument(2) .. '.counted'
      row.state, row.token, row.lease, row.sent = 'settled', nil, nil, nil
      save(row)
    end
  else
    if row.sent2 and not row.gave_up2 then
      redis.call('ZREM', key('calls', row.contact), row.delivery .. ':2')
      row.sent2 = nil
    end
    row.state, row.token, row.lease, row.expires = 'unknown', nil, nil, now + ttl
    save(row)
  end
  return '1'
end

-- delivery, token, exact, removed
function verbs.finish_release()
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
function verbs.reserve_slot()
  local wait, fits = slot(argument(1), number(2))
  return {text(wait), fits and '1' or '0'}
end

-- action
function verbs.throttle()
  local pace = pace_of(argument(1))
  local since = now - pace.slowed
  if not (pace.factor < 1 and since >= 0 and since < 1) then
    pace.factor, pace.slowed = math.max(slowest, factor_of(pace) * slower), now
    save_pace(argument(1), pace)
  end
  return '1'
end

-- delivery
function verbs.get()
  local row = load(argument(1))
  if not row or row.expires <= now then return {} end
  if row.state == 'settled' then return {'settled', row.content, record_of(row)} end
  return {row.state == 'claimed' and is_live(row.lease) and 'in-flight' or 'unknown', row.content}
end

function verbs.count_unknown()
  local open = redis.call('ZCOUNT', prefix .. 'open', '(' .. text(now), '+inf')
  return open - redis.call('ZCOUNT', prefix .. 'leases', '(' .. text(now), text(now + lease_limit))
end

-- what tells the key in use from another one
function verbs.ping()
  local known = redis.call('GET', prefix .. 'key')
  redis.call('SET', prefix .. 'key', argument(1))
  return known and known ~= argument(1) and '1' or '0'
end

return verbs[verb]()
