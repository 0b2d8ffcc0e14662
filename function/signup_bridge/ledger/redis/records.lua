-- The records of the ledger over Redis, and how each is written. Times are seconds on Redis's own clock.
--
-- KEYS[1] is the prefix of every key. Its braces keep them in one slot of a cluster. The values are strings:
--   d:<delivery>     packed: the delivery, its owner, its calls, its outcome; see `deliveries.save`
--   c:<contact>      packed: the contact's last calls, its wrong codes, and the delivery that locks it
--   u:<content>      deliveries of this content whose outcome is unknown, with spaces between them
--   pace:<action>    packed: the state of the action's rate limiter
--   removal:<exact>  the contact must be taken off the account's list
--   spent:<content>  this content was verified, and its contact taken off the list
--   key              the fingerprint of the key of all names
--   open             the layout of the keys; an earlier layout had a sorted set here, so that its scripts fail
-- or sorted sets:
--   h:<contact>      the contact's earlier calls, by the time they were sent
--   unsettled        the deliveries whose outcome is not definitive: if claimed, by the end of their lease; if unknown,
--                    by the negated time they expire
--   sends:<series>   the messages of a counter, by their owners' tokens
--
-- `scripts.py` writes the policy and the time before this file, and steps behind it. ARGV[1] is the step, the rest are
-- its arguments. Redis runs all of this for every step, so that even a function that is not called costs time.

local prefix, now = KEYS[1], tonumber(time[1]) + tonumber(time[2]) / 1000000
local steps, deliveries = {}, {}

local CLAIMED, UNKNOWN, SETTLED = 'c', 'u', 's'
local UNSETTLED, LAYOUT = prefix .. 'unsettled', '2'
local RECORD_LIFE = math.max(ttl, retention) + 2 * lease_limit -- seconds: longer than any record is kept

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

-- Do once a minute what each delivery would otherwise do: delete the unsettled ones that have expired. A claim of an
-- unknown one needs no slot, so that this may not run for long: neither key expires.
local function tidy()
  redis.call('ZREMRANGEBYSCORE', UNSETTLED, -now, now - ttl)
  redis.call('SET', prefix .. 'open', LAYOUT)
end

-- A packed delivery: these fields, those of its state, and its request id or its counters. A time that it has not is 0.
-- One that is settled and has an owner locks its contact, to be taken off the list: `lock` is the lease and the token.
local DELIVERY = '>c1c22Bc1ddBc0'
local SETTLEMENT, CALLS = 'Bc0Bc0c1', 'dBc0ddddc1'

function deliveries.unpack(delivery, value)
  if not value then return nil end
  if value:sub(1, 1) == SETTLED then
    local state, content, contact_type, transient, expires, claimed, settled_by, lock, outcome, resolved, rest =
      struct.unpack(DELIVERY .. SETTLEMENT, value)
    return {delivery = delivery, state = state, content = content, contact_type = contact_type, transient = transient,
      expires = expires, claimed = claimed, settled_by = settled_by, outcome = outcome, resolved = resolved,
      request_id = value:sub(rest), token = lock:sub(9), lease = lock ~= '' and struct.unpack('>d', lock)}
  end
  local state, content, contact_type, transient, expires, claimed, settled_by, lease, token, sent, gave_up, sent2,
    gave_up2, counted, rest = struct.unpack(DELIVERY .. CALLS, value)
  return {delivery = delivery, state = state, content = content, contact_type = contact_type, transient = transient,
    expires = expires, claimed = claimed, settled_by = settled_by, lease = lease ~= 0 and lease, token = token,
    sent = sent ~= 0 and sent, gave_up = gave_up ~= 0 and gave_up, sent2 = sent2 ~= 0 and sent2,
    gave_up2 = gave_up2 ~= 0 and gave_up2, counted = counted == '1', series = value:sub(rest)}
end

function deliveries.load(delivery)
  return deliveries.unpack(delivery, redis.call('GET', key('d', delivery)))
end

-- A settled delivery has no calls: others are reconciled by those in its contact's record. `series` is nil or empty for
-- a verification; for a message it is a `+` and the names of its counters.
function deliveries.save(row)
  local settled_by, token, value = row.settled_by or '', row.token or '', nil
  if row.state == SETTLED then
    local lock = token ~= '' and struct.pack('>d', row.lease) .. token or ''
    value = struct.pack(DELIVERY .. SETTLEMENT, SETTLED, row.content, row.contact_type, row.transient, row.expires,
      row.claimed, #settled_by, settled_by, #lock, lock, #row.outcome, row.outcome, row.resolved) .. row.request_id
  else
    redis.call('ZADD', UNSETTLED, row.state == CLAIMED and row.lease or -row.expires, row.delivery)
    value = struct.pack(DELIVERY .. CALLS, row.state, row.content, row.contact_type, row.transient, row.expires,
      row.claimed, #settled_by, settled_by, row.lease or 0, #token, token, row.sent or 0, row.gave_up or 0,
      row.sent2 or 0, row.gave_up2 or 0, row.counted and '1' or '0') .. (row.series or '')
  end
  set(key('d', row.delivery), value, math.max(row.expires, row.claimed + retention) - now)
end

-- Let a delivery be found by its content. One that locks its contact is found by that.
function deliveries.index(delivery, content)
  local names = redis.call('GET', key('u', content))
  if not names then names = delivery
  elseif not names:find(delivery, 1, true) then names = names .. ' ' .. delivery end
  set(key('u', content), names, RECORD_LIFE)
end

function deliveries.record(row)
  return {row.outcome, row.request_id, row.resolved, row.contact_type}
end

-- The claim of a delivery that is settled or in progress, or whose id has another content. One without an id that was
-- claimed before the clock was set back would be replayed for too long: it is replayed for its usual time from now, or
-- not at all if it `resends`.
function deliveries.existing_claim(row, content, resends)
  if not row or row.expires <= now then return nil end
  if row.content ~= content then return {'key-mismatch'} end
  if row.state == SETTLED then
    if row.transient == '1' and row.claimed > now + 1 then
      if resends then return nil end
      row.claimed, row.expires = now, math.min(row.expires, now + content_replay)
      redis.call('ZREM', UNSETTLED, row.delivery) -- a full server accepts it, and then the rest
      deliveries.save(row)
    end
    return {'replay', deliveries.record(row)}
  end
  if row.state == CLAIMED and is_live(row.lease) then return {'in-flight'} end
  return nil
end
