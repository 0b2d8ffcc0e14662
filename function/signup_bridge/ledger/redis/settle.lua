-- Settle a delivery. A full server accepts the first write, a ZREM, and then the others, so that a call that was made
-- is always recorded.

-- Record the last call of a delivery. Its start and end are given in seconds ago, and in seconds after the claim. A
-- delivery that sends a code has no contact.
local function end_call(row, contact, sent_ago, gave_up_ago, sent_after, gave_up_after)
  -- Both times are too late, by the time that the ledger took for this reply or for the claim.
  local sent = math.min(now - sent_ago, row.claimed + sent_after)
  local gave_up = math.max(sent, math.min(now - gave_up_ago, row.claimed + gave_up_after))
  local reserved, reserved_end = row.sent, row.gave_up
  if row.sent2 then
    reserved, reserved_end, row.sent2, row.gave_up2 = row.sent2, row.gave_up2, sent, gave_up
  else
    row.sent, row.gave_up = sent, gave_up
  end
  if not contact then return end
  if reserved then contacts.remove_call(contact, contacts.pack_call(row, reserved, reserved_end)) end
  contacts.add_call(contact, contacts.pack_call(row, sent, gave_up))
end

-- Settle the other deliveries with the same content and an unknown outcome, even if one is claimed: the outcome is the
-- same.
local function settle_duplicates(row, contact, names, replay_seconds)
  for name in names:gmatch('%S+') do
    local other = name ~= row.delivery and deliveries.load(name)
    if other and other.state ~= SETTLED and other.content == row.content then
      if contact then contacts.unlock(contact, other) end
      other.state, other.token, other.lease = SETTLED, nil, nil
      other.outcome, other.request_id, other.resolved = row.outcome, row.request_id, row.resolved
      other.expires = now + (other.transient == '1' and replay_seconds or ttl)
      redis.call('ZREM', UNSETTLED, name)
      deliveries.save(other)
    end
  end
  redis.call('DEL', key('u', row.content))
end

local row, settled_by = deliveries.unpack(delivery, found), token:sub(1, 16)
local is_lost = not row -- the server lost the record
if row and not (row.token == token and row.state == CLAIMED) then
  return row.settled_by == settled_by and '1' or '0' -- '1' if the reply to the first run was lost
end
redis.call('ZREM', UNSETTLED, delivery)
row = row or {delivery = delivery, content = content, contact_type = tonumber(contact_type), transient = transient,
  claimed = now, sent = sent_ago == '' and now}
local contact = (row.series or '') == '' and contacts.unpack(contact_name, held)
if is_lost then
  tidy()
  contacts.count_wrong_code(contact, row, now)
  if sent_ago == '' then contacts.add_call(contact, contacts.pack_call(row, now)) end -- an earlier call
end
if sent_ago ~= '' then
  end_call(row, contact, tonumber(sent_ago), tonumber(gave_up_ago), tonumber(sent_after), tonumber(gave_up_after))
end
row.gave_up = row.sent and (row.gave_up or row.lease or row.sent)
row.gave_up2 = row.sent2 and (row.gave_up2 or row.lease)
row.token, row.lease, row.settled_by = nil, nil, settled_by
if contact then contacts.unlock(contact, row) end
if outcome == '' then
  row.state, row.expires = UNKNOWN, now + ttl
  deliveries.save(row)
  deliveries.index(delivery, content)
else
  row.state, row.outcome, row.request_id, row.resolved = SETTLED, outcome, request_id, resolved
  row.expires = now + (row.transient == '1' and replay_seconds or ttl)
  local wrong = contact and row.counted and counts ~= '1' and contacts.find_wrong_code(contact, row)
  if wrong then contacts.remove_wrong_code(contact, wrong) end
  if contact and outcome == verified then contact.wrong = '' end
  local others = (names or '') .. ' ' .. (contact and contact.content == content and contact.holder or '')
  if others ~= ' ' then settle_duplicates(row, contact, others, replay_seconds) end
  if contact and release_seconds > 0 then -- lock the contact for its removal from the account's list; its code is used
    row.token, row.lease = token, now + release_seconds
    contacts.lock(contact, row)
    redis.call('SET', key('removal', exact), '1')
    set(key('spent', content), text(now + ttl), ttl)
  end
  deliveries.save(row)
end
if contact then contacts.save(contact) end
return '1'
