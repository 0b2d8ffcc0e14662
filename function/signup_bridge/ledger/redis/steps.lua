-- The other steps of the ledger over Redis, each one atomic run of the script, behind `claims.lua`.

-- delivery, token, longest wait in seconds, action
function steps.begin_retry()
  local row = find_owned(argument(1), argument(2))
  if not row or row.sent2 then return {} end
  local wait, fits = reserve_slot(argument(4), number(3))
  if fits then
    row.sent2 = now + wait
    row.counted = row.counted or row.sent2
    save(row)
  end
  return {text(wait), fits and '1' or '0'}
end

-- Record the last call of a delivery, which was sent and given up so many seconds ago, and so long after the claim.
local function end_call(row, sent_ago, gave_up_ago, sent_after, gave_up_after)
  -- Either time is late: by what the ledger took to reply, or to claim.
  local sent = math.min(now - sent_ago, row.claimed + sent_after)
  local gave_up = math.max(sent, math.min(now - gave_up_ago, row.claimed + gave_up_after))
  if row.sent2 then row.sent2, row.gave_up2 = sent, gave_up else row.sent, row.gave_up = sent, gave_up end
end

local function clear_wrong_codes(contact)
  for _, name in ipairs(redis.call('ZRANGE', key('wrong', contact), 0, -1)) do
    if redis.call('EXISTS', key('delivery', name)) == 1 then redis.call('HDEL', key('delivery', name), 'counted') end
  end
  redis.call('DEL', key('wrong', contact))
end

-- The delivery and the others of its content whose outcome is unknown: it is the same.
local function with_duplicates(row)
  local rows = {row}
  for _, name in ipairs(redis.call('SMEMBERS', key('unknown', row.content))) do
    local other = name ~= row.delivery and load(name)
    if other and other.state ~= 'settled' then
      close_calls(other)
      other.token, other.lease = nil, nil
      rows[#rows + 1] = other
    end
  end
  return rows
end

-- Lock the contact for so many seconds, to be taken off the account's list; its code is used.
local function begin_release(row, token, seconds, exact)
  row.token, row.lease = token, now + seconds
  redis.call('SET', key('removal', exact), '1')
  redis.call('SET', key('spent', row.content), text(now + ttl))
  expire(key('spent', row.content), ttl)
end

-- delivery, token, outcome or nothing, request id, resolved, seconds since it was sent or nothing, since it was given
-- up, counts as a wrong code, seconds of release, exact contact, verified, content, contact, contact type, known by its
-- body, sent and given up in seconds after the claim, seconds for which a delivery known by its body is replayed
-- A full server accepts this and `release`, whose first write is a DEL or similar: a call that was made is recorded.
function steps.settle()
  local token, outcome, lock = argument(2), argument(3), number(9)
  local row, stored = find_owned(argument(1), token), load(argument(1))
  if not stored then -- the server lost it
    row = {delivery = argument(1), content = argument(12), contact = argument(13), contact_type = argument(14),
      transient = argument(15), state = 'claimed', claimed = now, sent = now, counted = now}
  end
  if not row then return stored.settled_by == token and '1' or '0' end -- its first reply was lost
  if argument(6) ~= '' then end_call(row, number(6), number(7), number(16), number(17)) end
  row.token, row.lease, row.settled_by = nil, nil, token
  if outcome == '' then
    row.state, row.expires = 'unknown', now + ttl
    save(row)
    return '1'
  end
  local verified = argument(11) == '1'
  if verified or argument(8) ~= '1' then row.counted = nil end
  if verified then clear_wrong_codes(row.contact) end
  local rows = with_duplicates(row)
  for _, one in ipairs(rows) do
    one.state, one.outcome, one.request_id, one.resolved = 'settled', outcome, argument(4), argument(5)
    one.expires = now + (one.transient == '1' and number(18) or ttl)
  end
  if lock > 0 then begin_release(row, token, lock, argument(10)) end
  for i = #rows, 1, -1 do save(rows[i]) end
  return '1'
end

-- delivery, token
function steps.release()
  local row = find_owned(argument(1), argument(2))
  if not row then return '0' end
  for counter in (row.series or ''):gmatch('%S+') do -- the message was not sent
    redis.call('ZREM', key('sends', counter), argument(2))
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

-- delivery, token, exact contact, removed
function steps.finish_release()
  local row = load(argument(1))
  if not row or row.token ~= argument(2) or not is_live(row.lease) then return '0' end
  if argument(4) == '1' then redis.call('DEL', key('removal', argument(3))) end
  if row.state == 'settled' then
    row.token, row.lease = nil, nil
    save(row)
  end
  return '1'
end

-- action, longest wait in seconds
function steps.reserve_slot()
  local wait, fits = reserve_slot(argument(1), number(2))
  return {text(wait), fits and '1' or '0'}
end

-- action
function steps.throttle()
  local state = rate_state(argument(1))
  local since = now - state.slowed
  if not (state.factor < 1 and since >= 0 and since < 1) then
    state.factor, state.slowed = math.max(min_rate_factor, rate_factor(state) * backoff_factor), now
    save_rate_state(argument(1), state)
  end
  return '1'
end

-- delivery
function steps.get()
  local row = load(argument(1))
  if not row or row.expires <= now then return {} end
  if row.state == 'settled' then return {'settled', row.content, record(row)} end
  return {row.state == 'claimed' and is_live(row.lease) and 'in-flight' or 'unknown', row.content}
end

function steps.count_unknown()
  local open = redis.call('ZCOUNT', prefix .. 'open', '(' .. text(now), '+inf')
  return open - redis.call('ZCOUNT', prefix .. 'leases', '(' .. text(now), text(now + lease_limit))
end

-- the fingerprint of the key in use
function steps.ping()
  local known = redis.call('GET', prefix .. 'key')
  redis.call('SET', prefix .. 'key', argument(1))
  return known and known ~= argument(1) and '1' or '0'
end

return steps[step]()
