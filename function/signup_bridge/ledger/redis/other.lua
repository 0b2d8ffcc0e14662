-- The steps that a typical delivery does not need. Like a settlement, a release starts with a ZREM, which a full server
-- accepts.

local steps = {}

local function is_owned(row, token)
  return row and row.token == token and row.state == CLAIMED
end

-- Return the longest wait and the name of its limit, if a limit is reached. Each limit is a name, a counter, a limit
-- and a window.
local function blocking_limit(limits)
  local wait, blocking = 0, nil
  for i = 1, #limits, 4 do
    local name, limit, seconds = key('sends', limits[i + 1]), tonumber(limits[i + 2]), tonumber(limits[i + 3])
    -- A future time was written before the clock was set back. It counts from now on.
    for _, message in ipairs(redis.call('ZRANGEBYSCORE', name, '(' .. text(now), '+inf')) do
      redis.call('ZADD', name, text(now), message)
    end
    local oldest = redis.call('ZREVRANGE', name, limit - 1, limit - 1, 'WITHSCORES')[2]
    local left = oldest and tonumber(oldest) + seconds - now or 0
    if left > wait then wait, blocking = left, limits[i] end
  end
  return wait, blocking
end

-- Count a message in the counters of the limits; return their names.
local function count_message(limits, token, longest_window)
  local counters = {}
  for i = 2, #limits, 4 do
    local name = key('sends', limits[i])
    redis.call('ZREMRANGEBYSCORE', name, '-inf', text(now - longest_window))
    redis.call('ZADD', name, text(now), token)
    redis.call('PEXPIRE', name, math.ceil(longest_window * 1000))
    counters[#counters + 1] = limits[i]
  end
  return '+ ' .. table.concat(counters, ' ')
end

-- A message locks no contact, and its calls never compete with others, so that it needs no contact's record.
function steps.claim_send(delivery, content, contact_type, transient, token, lease, max_wait, action, longest_window,
    ...)
  local limits = {...}
  local found, pace = unpack(redis.call('MGET', key('d', delivery), key('pace', action)))
  local row = deliveries.unpack(delivery, found)
  if is_owned(row, token) then -- the reply to the first run was lost
    return {'acquired', text(math.max(0, row.sent - now)), '0', {}}
  end
  local claim = deliveries.existing_claim(row, content, true)
  if claim then return claim end
  local left, limit = blocking_limit(limits)
  if limit then return {'send-limited', text(left), limit} end
  local wait, fits = rate.reserve_slot(action, tonumber(max_wait), pace)
  if not fits then return {'rate-limited', text(wait)} end
  lease = now + tonumber(lease)
  deliveries.save({delivery = delivery, content = content, contact_type = tonumber(contact_type),
    transient = transient, state = CLAIMED, token = token, claimed = now, lease = lease, expires = lease + ttl,
    sent = now + wait, series = count_message(limits, token, tonumber(longest_window))})
  deliveries.index(delivery, content)
  return {'acquired', text(wait), '0', {}}
end

local function load_with_contact(delivery, contact_name)
  local found, held = unpack(redis.call('MGET', key('d', delivery), key('c', contact_name)))
  local row = deliveries.unpack(delivery, found)
  return row, row and (row.series or '') == '' and contacts.unpack(contact_name, held)
end

function steps.begin_retry(delivery, token, contact_name, max_wait, action)
  local row, contact = load_with_contact(delivery, contact_name)
  if not is_owned(row, token) or row.sent2 then return {} end
  local wait, fits = rate.reserve_slot(action, tonumber(max_wait), rate.load(action))
  if fits then
    row.sent2 = now + wait
    if not row.counted then contacts.count_wrong_code(contact, row, row.sent2, true) end
    contacts.add_call(contact, contacts.pack_call(row, row.sent2))
    deliveries.save(row)
    contacts.save(contact)
  end
  return {text(wait), fits and '1' or '0'}
end

-- Undo the claim of a new delivery.
local function remove(row, contact)
  redis.call('DEL', key('d', row.delivery))
  if not contact then return end
  contacts.remove_call(contact, contacts.pack_call(row, row.sent))
  if row.sent2 then contacts.remove_call(contact, contacts.pack_call(row, row.sent2)) end
  local at = contacts.find_wrong_code(contact, row)
  if not at then return end
  if struct.unpack('>d', contact.wrong, at + ID) < math.min(row.claimed, now) then
    -- The earlier wrong code still counts.
    contact.wrong = contact.wrong:sub(1, at - 1) .. DETACHED .. contact.wrong:sub(at + ID)
  else
    contacts.remove_wrong_code(contact, at)
  end
end

function steps.release(delivery, token, contact_name)
  local row, contact = load_with_contact(delivery, contact_name)
  if not is_owned(row, token) then return '0' end
  redis.call('ZREM', UNSETTLED, delivery)
  for counter in row.series:sub(3):gmatch('%S+') do -- the message was not sent
    redis.call('ZREM', key('sends', counter), token)
  end
  if row.sent and not row.gave_up then
    remove(row, contact)
  else
    if row.sent2 and not row.gave_up2 then
      contacts.remove_call(contact, contacts.pack_call(row, row.sent2))
      row.sent2 = nil
    end
    row.state, row.token, row.lease, row.expires = UNKNOWN, nil, nil, now + ttl
    deliveries.save(row)
    deliveries.index(delivery, row.content)
  end
  if contact then
    contacts.unlock(contact, row)
    contacts.save(contact)
  end
  return '1'
end

function steps.finish_release(delivery, token, contact_name, exact, removed)
  local row, contact = load_with_contact(delivery, contact_name)
  if not row or row.token ~= token or not is_live(row.lease) then return '0' end
  if removed == '1' then redis.call('DEL', key('removal', exact)) end
  if row.state == SETTLED then
    redis.call('ZREM', UNSETTLED, delivery) -- a full server accepts this first write, and then the others
    row.token, row.lease = nil, nil
    deliveries.save(row)
    contacts.unlock(contact, row)
    contacts.save(contact)
  end
  return '1'
end

function steps.reserve_slot(action, max_wait)
  local wait, fits = rate.reserve_slot(action, tonumber(max_wait), rate.load(action))
  return {text(wait), fits and '1' or '0'}
end

function steps.throttle(action)
  local state = rate.unpack(rate.load(action))
  local since = now - state.slowed
  if not (state.factor < 1 and since >= 0 and since < 1) then
    state.factor, state.slowed = math.max(min_rate_factor, rate.factor(state) * backoff_factor), now
    rate.save(action, state, true)
  end
  return '1'
end

function steps.get(delivery)
  local row = deliveries.load(delivery)
  if not row or row.expires <= now then return {} end
  if row.state == SETTLED then return {'settled', row.content, deliveries.record(row)} end
  return {row.state == CLAIMED and is_live(row.lease) and 'in-flight' or 'unknown', row.content}
end

function steps.count_unknown()
  local unknown = redis.call('ZCOUNT', UNSETTLED, '-inf', '(' .. text(-now))
  local abandoned = redis.call('ZCOUNT', UNSETTLED, '(' .. text(now - ttl), text(now))
  -- A longer lease was written before the clock was set back, and has expired.
  return unknown + abandoned + redis.call('ZCOUNT', UNSETTLED, '(' .. text(now + lease_limit), '+inf')
end

-- Store the fingerprint of the key. The reply shows whether the key has changed, and whether records of an earlier
-- version must be converted.
function steps.ping(fingerprint)
  local known, layout = redis.call('GET', prefix .. 'key'), redis.call('TYPE', prefix .. 'open').ok
  redis.call('SET', prefix .. 'key', fingerprint)
  local changed = known and known ~= fingerprint and '1' or '0'
  if layout == 'string' and redis.call('GET', prefix .. 'open') == LAYOUT then return changed end
  if known or layout ~= 'none' then return changed .. ' convert' end
  redis.call('SET', prefix .. 'open', LAYOUT)
  return changed
end

return steps[ARGV[1]](unpack(ARGV, 2))
