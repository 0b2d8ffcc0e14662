-- The claims of the ledger over Redis, each one atomic run of the script, behind `records.lua`.

local steps = {}

-- The claim of a delivery that is settled or in progress, or whose id has another content. One without an id that was
-- claimed before the clock was set back would be replayed for too long: it is replayed for its usual time from now, or
-- not at all if it `resends`.
local function existing_claim(row, content, resends)
  if not row or row.expires <= now then return nil end
  if row.content ~= content then return {'key-mismatch'} end
  if row.state == 'settled' then
    if row.transient == '1' and row.claimed > now + 1 then
      if resends then return nil end
      row.claimed, row.expires = now, math.min(row.expires, now + content_replay)
      save(row)
    end
    return {'replay', record(row)}
  end
  if row.state == 'claimed' and is_live(row.lease) then return {'in-flight'} end
  return nil
end

-- Take the delivery's id from a row, which stays as history: other deliveries are reconciled by its calls.
local function detach(row, token)
  remove(row)
  close_calls(row)
  row.delivery, row.state, row.lease = token .. '.called', 'settled', nil
  if row.sent or row.sent2 or row.counted then save(row) end
end

-- Detach an expired row; return it if its wrong code still counts.
local function detach_expired(row, content, token)
  detach(row, token)
  if row.content == content and row.counted and row.counted > now - window then return row end
  return nil
end

-- The calls of the content's deliveries whose outcome is unknown; nil if there is no such delivery.
local function unknown_calls(content)
  local calls, unknown = {}, false
  for _, name in ipairs(redis.call('SMEMBERS', key('unknown', content))) do
    local other = load(name)
    if other and other.state ~= 'settled' and other.expires > now then
      unknown = true
      append_calls(other, calls)
    end
  end
  return unknown and calls or nil
end

-- Claim a delivery whose outcome is unknown (`row`), or a new one with the same content.
local function acquire_unknown(row, new, calls, release_pending)
  if row then
    close_calls(row)
    row.state, row.token, row.claimed = 'claimed', new.token, now
    row.lease, row.expires = new.lease, new.expires
    save(row)
  else
    save(new)
  end
  local competing, has_more = competing_calls_of(new.contact, new.content, calls)
  return {'acquired', '0', release_pending, {text(now), calls, competing, has_more}}
end

local function has_too_many_wrong_codes(contact)
  local wrong = key('wrong', contact)
  redis.call('ZREMRANGEBYSCORE', wrong, '-inf', text(now - window))
  redis.call('ZREMRANGEBYRANK', wrong, 0, -1 - math.max(wrong_codes, max_competing))
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', wrong, '(' .. text(now), '+inf')) do
    redis.call('ZADD', wrong, text(now), name) -- as `load` does
  end
  return wrong_codes > 0 and redis.call('ZCARD', wrong) >= wrong_codes
end

-- Settle a new delivery that needs no call; nil if it needs one.
local function short_circuit(new, before, used_outcome, exhausted_outcome, conceal)
  local used_until = redis.call('GET', key('spent', new.content))
  local exhausted, outcome = has_too_many_wrong_codes(new.contact), nil
  if used_until and tonumber(used_until) > now and not (exhausted and conceal) then
    outcome = used_outcome
    if conceal then move_count(new, before, now) end
  elseif exhausted then
    outcome = exhausted_outcome
  end
  if not outcome then return nil end
  new.state, new.outcome, new.token, new.lease = 'settled', outcome, nil, nil
  new.expires = now + (new.transient == '1' and content_replay or ttl)
  save(new)
  return {'short-circuited', record(new)}
end

-- delivery, content, contact, exact contact, contact type, known by its body, token, lease, longest wait in seconds,
-- action, the outcomes of a used code and of too many wrong codes, whether a used code must look like a wrong one
function steps.claim()
  local delivery, content, contact, token, lease = argument(1), argument(2), argument(3), argument(7), now + number(8)
  local row = load(delivery)
  local is_own = row ~= nil and row.state == 'claimed' and row.token == token -- its first reply was lost
  local claim = not is_own and existing_claim(row, content)
  if claim then return claim end
  if not is_own then check_room() end
  local before
  if row and row.expires <= now then row, before = nil, detach_expired(row, content, token) end
  if is_locked_by_another({delivery = delivery, contact = contact}) then return {'contact-busy'} end
  local release_pending = redis.call('EXISTS', key('removal', argument(4))) == 1 and '1' or '0'
  if is_own and row and row.sent and not row.gave_up then
    return {'acquired', text(math.max(0, row.sent - now)), release_pending, {}}
  end
  local new = {delivery = delivery, content = content, contact = contact, contact_type = argument(5),
    transient = argument(6), state = 'claimed', token = token, claimed = now, lease = lease, expires = lease + ttl}
  local calls = unknown_calls(content)
  if calls then return acquire_unknown(row, new, calls, release_pending) end
  claim = short_circuit(new, before, argument(11), argument(12), argument(13) == '1')
  if claim then return claim end
  local wait, fits = reserve_slot(argument(10), number(9))
  if not fits then return {'rate-limited', text(wait)} end
  new.sent = now + wait
  move_count(new, before, new.sent)
  save(new)
  return {'acquired', text(wait), release_pending, {}}
end

-- The longest wait and its limit's name, if a limit is reached. The limits begin at the nth argument.
local function blocking_limit(n)
  local wait, blocking = 0, nil
  while argument(n) do
    local name, limit, seconds = key('sends', argument(n + 1)), number(n + 2), number(n + 3)
    -- A later time was written before the clock was set back: it counts from now.
    for _, message in ipairs(redis.call('ZRANGEBYSCORE', name, '(' .. text(now), '+inf')) do
      redis.call('ZADD', name, text(now), message)
    end
    local oldest = redis.call('ZREVRANGE', name, limit - 1, limit - 1, 'WITHSCORES')[2]
    local left = oldest and tonumber(oldest) + seconds - now or 0
    if left > wait then wait, blocking = left, argument(n) end
    n = n + 4
  end
  return wait, blocking
end

-- Count a message under the counters of the limits that begin at the nth argument; return their names.
local function count_message(n, token, window_limit)
  local counters = {}
  while argument(n) do
    local name = key('sends', argument(n + 1))
    redis.call('ZREMRANGEBYSCORE', name, '-inf', text(now - window_limit))
    redis.call('ZADD', name, text(now), token)
    expire(name, window_limit)
    counters[#counters + 1] = argument(n + 1)
    n = n + 4
  end
  return table.concat(counters, ' ')
end

-- delivery, content, contact, contact type, known by its body, token, lease, longest wait in seconds, action, the
-- longest window, and of each limit its name, counter, limit and window
function steps.claim_send()
  local delivery, content, token, lease = argument(1), argument(2), argument(6), now + number(7)
  local row = load(delivery)
  if row and row.state == 'claimed' and row.token == token then -- its first reply was lost
    return {'acquired', text(math.max(0, row.sent - now)), '0', {}}
  end
  local claim = existing_claim(row, content, true)
  if claim then return claim end
  check_room()
  local left, limit = blocking_limit(11)
  if limit then return {'send-limited', text(left), limit} end
  local wait, fits = reserve_slot(argument(9), number(8))
  if not fits then return {'rate-limited', text(wait)} end
  if row then detach(row, token) end
  local counters = count_message(11, token, number(10))
  save({delivery = delivery, content = content, contact = argument(3), contact_type = argument(4),
    transient = argument(5), state = 'claimed', token = token, claimed = now, lease = lease, expires = lease + ttl,
    sent = now + wait, series = counters})
  return {'acquired', text(wait), '0', {}}
end
