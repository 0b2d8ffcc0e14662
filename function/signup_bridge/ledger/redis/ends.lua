-- Remove a lock, a call or a wrong code from a contact's record. `row` is a delivery.

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
