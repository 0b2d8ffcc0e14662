-- Contacts: their calls, their wrong codes and their locks. `row` is a delivery.

local contacts = {}

local DETACHED = ('-'):rep(ID) -- the id of a wrong code whose delivery may count again

function contacts.unpack(name, value)
  if not value then return {name = name, calls = '', wrong = '', holder = nil, lease = nil, content = nil} end
  local calls, rest = struct.unpack(CALLS_FORMAT, value)
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
  local value, life = struct.pack(CALLS_FORMAT, #calls, calls), HISTORY
  if contact.holder then
    value = struct.pack(LOCKED_FORMAT, #calls, calls, #wrong, wrong, contact.holder, contact.lease) ..
      (contact.content or '')
    life = RECORD_LIFE
  elseif wrong ~= '' then
    value = struct.pack(WRONG_CODES_FORMAT, #calls, calls, #wrong, wrong)
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

-- A call without a recorded end is assumed to end with its lease.
function contacts.pack_call(row, sent, gave_up)
  return row.content:sub(1, TAG) .. struct.pack('>dd', sent, gave_up or row.lease or sent)
end

-- If a contact has many calls, move the earlier ones to a sorted set, so that its record stays small.
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

-- Count a delivery as a wrong code. If it `repeats` a wrong code that still counts, keep the time of the earlier one;
-- otherwise both count separately.
function contacts.count_wrong_code(contact, row, time_of_call, repeats)
  row.counted = true
  local id = row.delivery .. row.content:sub(1, TAG)
  local at = contact.wrong:find(id, 1, true)
  if at and repeats then return end
  if at then contact.wrong = contact.wrong:sub(1, at - 1) .. DETACHED .. contact.wrong:sub(at + ID) end
  contact.wrong = contact.wrong .. id .. struct.pack('>d', time_of_call)
end

function contacts.unlock(contact, row)
  if contact.holder == row.delivery then contact.holder, contact.lease, contact.content = nil, nil, nil end
end

function contacts.remove_call(contact, call)
  local at = contact.calls:find(call, 1, true)
  if not at then return redis.call('ZREM', key('h', contact.name), call) end
  contact.calls = contact.calls:sub(1, at - 1) .. contact.calls:sub(at + CALL)
end

function contacts.find_wrong_code(contact, row)
  return contact.wrong:find(row.delivery .. row.content:sub(1, TAG), 1, true)
end

function contacts.remove_wrong_code(contact, at)
  contact.wrong = contact.wrong:sub(1, at - 1) .. contact.wrong:sub(at + WRONG_CODE)
end
