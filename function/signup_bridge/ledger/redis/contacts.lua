-- Contacts: their calls, their wrong codes and their lock. `row` is a delivery. A call is the tag of its content and
-- its two times. A wrong code is a delivery, the tag of its content, and the time at which it counts.

local contacts = {}

local TAG = 10 -- characters of a content's name that tell it from others of its contact
local CALL = TAG + 16 -- bytes of a call
local RECENT_CALLS = 16 -- calls that stay in a contact's record, at least
local ID = 22 + TAG -- characters that identify a wrong code
local DETACHED = ('-'):rep(ID) -- identifies one whose delivery may count again
local WRONG_CODE = ID + 8 -- bytes of a wrong code
local HISTORY = retention + lease_limit + competing_margin -- seconds for which a call or a wrong code may be read

-- A packed contact: its calls; if it has some, its wrong codes; if it is locked, who holds it. `content` is that of a
-- claimed delivery: if its lease is over, it is abandoned, and its outcome is unknown.
function contacts.unpack(name, value)
  if not value then return {name = name, calls = '', wrong = '', holder = nil, lease = nil, content = nil} end
  local calls, rest = struct.unpack('>Hc0', value)
  local contact = {name = name, calls = calls, wrong = '', holder = nil, lease = nil, content = nil}
  if rest <= #value then contact.wrong, rest = struct.unpack('>Ic0', value, rest) end
  if rest <= #value then
    contact.holder, contact.lease = struct.unpack('>c22d', value, rest)
    local content = value:sub(rest + 30)
    contact.content = content ~= '' and content
  end
  return contact
end

function contacts.save(contact)
  local calls, wrong = contact.calls, contact.wrong
  local value, life = struct.pack('>Hc0', #calls, calls), HISTORY
  if contact.holder then
    value = struct.pack('>Hc0Ic0c22d', #calls, calls, #wrong, wrong, contact.holder, contact.lease) ..
      (contact.content or '')
    life = math.max(RECORD_LIFE, HISTORY)
  elseif wrong ~= '' then
    value = struct.pack('>Hc0Ic0', #calls, calls, #wrong, wrong)
  end
  set(key('c', contact.name), value, life)
end

function contacts.is_locked_by_another(contact, row)
  return contact.holder and contact.holder ~= row.delivery and is_live(contact.lease)
end

function contacts.lock(contact, row)
  if contacts.is_locked_by_another(contact, row) then return end
  if contact.content and contact.holder ~= row.delivery then deliveries.index(contact.holder, contact.content) end
  contact.holder, contact.lease, contact.content = row.delivery, row.lease, row.state == CLAIMED and row.content
end

-- One without a recorded end is over with its lease.
function contacts.pack_call(row, sent, gave_up)
  return row.content:sub(1, TAG) .. struct.pack('>dd', sent, gave_up or row.lease or sent)
end

-- The earlier calls of a contact with many are moved to a sorted set, so that its record stays small.
function contacts.add_call(contact, call)
  contact.calls = contact.calls .. call
  if #contact.calls <= 2 * RECENT_CALLS * CALL then return end
  local earlier, history = {}, key('h', contact.name)
  for i = 1, #contact.calls - RECENT_CALLS * CALL, CALL do
    earlier[#earlier + 1] = struct.unpack('>d', contact.calls, i + TAG)
    earlier[#earlier + 1] = contact.calls:sub(i, i + CALL - 1)
  end
  contact.calls = contact.calls:sub(-RECENT_CALLS * CALL)
  redis.call('ZADD', history, unpack(earlier))
  redis.call('ZREMRANGEBYSCORE', history, '-inf', now - HISTORY)
  redis.call('PEXPIRE', history, math.ceil(HISTORY * 1000))
end

-- Count a delivery as a wrong code. If it `repeats` one that still counts, that one's time holds; else that one counts
-- on its own.
function contacts.count_wrong_code(contact, row, time_of_call, repeats)
  row.counted = true
  local id = row.delivery .. row.content:sub(1, TAG)
  local at = contact.wrong:find(id, 1, true)
  if at and repeats then return end
  if at then contact.wrong = contact.wrong:sub(1, at - 1) .. DETACHED .. contact.wrong:sub(at + ID) end
  contact.wrong = contact.wrong .. id .. struct.pack('>d', time_of_call)
end
