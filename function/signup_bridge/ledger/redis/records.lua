-- Read and write the records of deliveries.

local deliveries = {}

local function text(seconds)
  return string.format('%.6f', seconds)
end

local function key(kind, name)
  return prefix .. kind .. ':' .. name
end

local function set(name, value, seconds)
  redis.call('SET', name, value, 'PX', math.ceil(math.max(seconds, 1) * 1000))
end

local function is_live(lease)
  return lease and now < lease and lease <= now + lease_limit
end

-- Delete expired unsettled deliveries, once a minute instead of for each delivery. A claim of a delivery with an
-- unknown outcome reserves no slot, so that this may not run for a long time; therefore, neither key expires.
local function tidy()
  redis.call('ZREMRANGEBYSCORE', UNSETTLED, -now, now - ttl)
  redis.call('SET', prefix .. 'open', LAYOUT)
end

function deliveries.unpack(delivery, value)
  if not value then return nil end
  if value:sub(1, 1) == SETTLED then
    local state, content, contact_type, transient, expires, claimed, settled_by, lock, outcome, resolved, rest =
      struct.unpack(SETTLED_FORMAT, value)
    return {delivery = delivery, state = state, content = content, contact_type = contact_type, transient = transient,
      expires = expires, claimed = claimed, settled_by = settled_by, outcome = outcome, resolved = resolved,
      request_id = value:sub(rest), token = lock:sub(9), lease = lock ~= '' and struct.unpack('>d', lock)}
  end
  local state, content, contact_type, transient, expires, claimed, settled_by, lease, token, sent, gave_up, sent2,
    gave_up2, counted, rest = struct.unpack(UNSETTLED_FORMAT, value)
  return {delivery = delivery, state = state, content = content, contact_type = contact_type, transient = transient,
    expires = expires, claimed = claimed, settled_by = settled_by, lease = lease ~= 0 and lease, token = token,
    sent = sent ~= 0 and sent, gave_up = gave_up ~= 0 and gave_up, sent2 = sent2 ~= 0 and sent2,
    gave_up2 = gave_up2 ~= 0 and gave_up2, counted = counted == '1', series = value:sub(rest)}
end

function deliveries.load(delivery)
  return deliveries.unpack(delivery, redis.call('GET', key('d', delivery)))
end

-- A settled delivery has no calls; reconciliation uses those in its contact's record. `series` is nil or empty for a
-- verification; for a message, it is a `+` and the names of its counters.
function deliveries.save(row)
  local settled_by, token, value = row.settled_by or '', row.token or '', nil
  if row.state == SETTLED then
    local lock = token ~= '' and struct.pack('>d', row.lease) .. token or ''
    value = struct.pack(SETTLED_FORMAT, SETTLED, row.content, row.contact_type, row.transient, row.expires,
      row.claimed, #settled_by, settled_by, #lock, lock, #row.outcome, row.outcome, row.resolved) .. row.request_id
  else
    redis.call('ZADD', UNSETTLED, row.state == CLAIMED and row.lease or -row.expires, row.delivery)
    value = struct.pack(UNSETTLED_FORMAT, row.state, row.content, row.contact_type, row.transient, row.expires,
      row.claimed, #settled_by, settled_by, row.lease or 0, #token, token, row.sent or 0, row.gave_up or 0,
      row.sent2 or 0, row.gave_up2 or 0, row.counted and '1' or '0') .. (row.series or '')
  end
  set(key('d', row.delivery), value, math.max(row.expires, row.claimed + retention) - now)
end

-- Index a delivery by its content. A delivery that locks its contact is found through the contact.
function deliveries.index(delivery, content)
  local names = redis.call('GET', key('u', content))
  if not names then names = delivery
  elseif not names:find(delivery, 1, true) then names = names .. ' ' .. delivery end
  set(key('u', content), names, RECORD_LIFE)
end

function deliveries.record(row)
  local record = {row.outcome, row.request_id, row.resolved, row.contact_type}
  if row.outcome == attempts_exhausted then
    record[2] = ''
    -- A record of an earlier version has no time.
    if #row.request_id == 8 then record[5] = text(math.max(0, struct.unpack('>d', row.request_id) - now)) end
  end
  return record
end

-- Return the claim of a delivery that is settled or in progress, or whose id was used with different content. A
-- delivery without an id that was claimed before the clock was set back would be replayed for too long. It is replayed
-- for the usual time from now, or not at all if it `resends`.
function deliveries.existing_claim(row, content, resends)
  if not row or row.expires <= now then return nil end
  if row.content ~= content then return {'key-mismatch'} end
  if row.state == SETTLED then
    if row.transient == '1' and row.claimed > now + 1 then
      if resends then return nil end
      row.claimed, row.expires = now, math.min(row.expires, now + content_replay)
      redis.call('ZREM', UNSETTLED, row.delivery) -- a full server accepts this first write, and then the others
      deliveries.save(row)
    end
    return {'replay', deliveries.record(row)}
  end
  if row.state == CLAIMED and is_live(row.lease) then return {'in-flight'} end
  return nil
end
