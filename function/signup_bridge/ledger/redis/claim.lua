-- Claim a delivery. A full server checks only a script's first write. Here, the first write needs memory, so that a
-- full server rejects it and nothing is changed.

-- Claim a delivery with an unknown outcome (`row`), or a new one with the same content; return nil if there is none.
-- `names` are other deliveries with the content. The reply contains the calls of all, and the contact's calls with
-- different content around them.
local function claim_unknown(row, new, contact, names, release_pending)
  local calls, is_unknown = {}, false

  local function append_calls(other)
    for _, pair in ipairs({{other.sent, other.gave_up}, {other.sent2, other.gave_up2}}) do
      if pair[1] then
        calls[#calls + 1] = pair[1]
        calls[#calls + 1] = math.max(pair[1], pair[2] or other.lease or pair[1])
      end
    end
  end

  -- Return the contact's calls that were sent between two times; one more than the maximum if there are too many.
  local function calls_between(first, last)
    local near = redis.call('ZREVRANGEBYSCORE', key('h', contact.name), last, first, 'LIMIT', 0, max_competing + 1)
    for i = 1, #contact.calls, CALL do
      local sent = struct.unpack('>d', contact.calls, i + TAG)
      if first <= sent and sent <= last then near[#near + 1] = contact.calls:sub(i, i + CALL - 1) end
    end
    return near
  end

  -- Return the competing calls, and whether there are more than the maximum.
  local function competing_calls()
    local competing, seen, tag = {}, {}, new.content:sub(1, TAG)
    for i = 1, #calls, 2 do
      local sent, gave_up = calls[i], calls[i + 1]
      if sent > now - retention then
        local near = calls_between(sent - lease_limit - competing_margin, gave_up + competing_margin)
        if #near > max_competing then return {}, '1' end
        for _, call in ipairs(near) do
          if call:sub(1, TAG) ~= tag and not seen[call] then
            local from, to = struct.unpack('>dd', call, TAG + 1)
            competing[#competing + 1], competing[#competing + 2] = text(from), text(math.max(from, to))
          end
          seen[call] = true
        end
      end
    end
    return competing, '0'
  end

  local seen, holder = {}, contact.content == new.content and contact.holder or ''
  for name in ((row and row.delivery or '') .. ' ' .. (names or '') .. ' ' .. holder):gmatch('%S+') do
    local other = not seen[name] and (row and name == row.delivery and row or deliveries.load(name))
    seen[name] = true
    if other and other.state ~= SETTLED and other.content == new.content and other.expires > now then
      is_unknown = true
      append_calls(other)
    end
  end
  if not is_unknown then return nil end
  if row then
    row.gave_up, row.gave_up2 = row.sent and (row.gave_up or row.lease), row.sent2 and (row.gave_up2 or row.lease)
    row.state, row.token, row.claimed, row.lease, row.expires = CLAIMED, new.token, now, new.lease, new.expires
  end
  deliveries.save(row or new)
  contacts.lock(contact, row or new)
  contacts.save(contact)
  local competing, has_more = competing_calls()
  for i, at in ipairs(calls) do calls[i] = text(at) end
  return {'acquired', '0', release_pending, {text(now), calls, competing, has_more}}
end

-- Settle a new delivery that needs no call; return nil if it needs one. `used_until` is the value of the key
-- `spent:<content>`.
local function short_circuit(new, contact, repeats, used_until)
  local before, left, times, outcome, retry_at = contact.wrong, {}, {}, nil, ''
  for i = 1, #before, WRONG_CODE do
    -- A future time was written before the clock was set back. It counts from now on.
    local at = math.min(now, (struct.unpack('>d', before, i + ID)))
    if at > now - window then
      left[#left + 1], times[#times + 1] = before:sub(i, i + ID - 1) .. struct.pack('>d', at), at
    end
  end
  contact.wrong = table.concat(left, '', math.max(1, #left - math.max(wrong_codes, max_competing) + 1))
  local exhausted = wrong_codes > 0 and #left >= wrong_codes
  if used_until and tonumber(used_until) > now and not (exhausted and conceal) then
    outcome = already_verified
  elseif exhausted then
    outcome = attempts_exhausted
    table.sort(times)
    retry_at = struct.pack('>d', times[#times - wrong_codes + 1] + window)
  else
    return nil
  end
  new.state, new.outcome, new.request_id, new.resolved, new.token, new.lease = SETTLED, outcome, retry_at, '0', nil, nil
  new.expires = now + (new.transient == '1' and content_replay or ttl)
  deliveries.save(new)
  if outcome == already_verified and conceal then contacts.count_wrong_code(contact, new, now, repeats) end
  if contact.wrong ~= before then contacts.save(contact) end
  return {'short-circuited', deliveries.record(new)}
end

local row = deliveries.unpack(delivery, found)
local is_own = row and row.token == token and row.state == CLAIMED -- the reply to the first run was lost
local claim = not is_own and deliveries.existing_claim(row, content)
if claim then return claim end
local new = {delivery = delivery, content = content, contact_type = tonumber(contact_type), transient = transient,
  state = CLAIMED, token = token, claimed = now, lease = lease, expires = lease + ttl, sent = false, counted = false}
local contact, release_pending = contacts.unpack(contact_name, held), removal and '1' or '0'
if contacts.is_locked_by_another(contact, new) then return {'contact-busy'} end
local repeats = row and row.expires <= now and row.content == content
if row and row.expires <= now then row = nil end
if is_own and row and row.sent and not row.gave_up then
  return {'acquired', text(math.max(0, row.sent - now)), release_pending, {}}
end
claim = (row or names or contact.content) and claim_unknown(row, new, contact, names, release_pending)
if claim then return claim end
claim = (used_until or contact.wrong ~= '') and short_circuit(new, contact, repeats, used_until)
if claim then return claim end
local wait, fits = rate.reserve_slot(action, max_wait, pace)
if not fits then return {'rate-limited', text(wait)} end
new.sent = now + wait
contacts.count_wrong_code(contact, new, new.sent, repeats)
contacts.add_call(contact, contacts.pack_call(new, new.sent))
contacts.lock(contact, new)
deliveries.save(new)
contacts.save(contact)
return {'acquired', text(wait), release_pending, {}}
