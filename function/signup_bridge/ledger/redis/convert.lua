-- Convert the records of an earlier version: a hash for each delivery, and sets, sorted sets and strings as indexes.
-- Scripts of that version fail as soon as the conversion starts, because the keys of the rates and `open` have another
-- type.

local ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

-- Convert a name from hexadecimal digits to base64.
local function short_name(name)
  return ((name .. '0'):gsub('%x%x%x', function(digits)
    local number = tonumber(digits, 16)
    local first, second = math.floor(number / 64) + 1, number % 64 + 1
    return ALPHABET:sub(first, first) .. ALPHABET:sub(second, second)
  end))
end

local function convert_rate(action)
  local name = key('pace', action)
  local kind = redis.call('TYPE', name).ok
  if kind == 'string' then return end
  local values = kind == 'hash' and redis.call('HMGET', name, 'free', 'at', 'factor', 'slowed') or {}
  redis.call('DEL', name)
  rate.save(action, {free = tonumber(values[1] or 0), at = tonumber(values[2] or 0), factor = tonumber(values[3] or 1),
    slowed = tonumber(values[4] or 0)}, true)
end

-- Add a delivery to its contact's record. A detached delivery is part of the history only, and has no name.
local function convert_contact(old, row, is_detached)
  local name = short_name(old.contact)
  local contact = contacts.unpack(name, redis.call('GET', key('c', name)))
  for _, pair in ipairs({{row.sent, row.gave_up}, {row.sent2, row.gave_up2}}) do
    local sent, gave_up = pair[1], pair[2]
    if sent and sent > now - HISTORY then contacts.add_call(contact, contacts.pack_call(row, sent, gave_up)) end
  end
  local counted = tonumber(old.counted)
  if counted and counted > now - window then
    local id = is_detached and DETACHED or row.delivery .. row.content:sub(1, TAG)
    contact.wrong = contact.wrong .. id .. struct.pack('>d', counted)
    contact.wrong = contact.wrong:sub(-WRONG_CODE * math.max(wrong_codes, max_competing))
  end
  if not is_detached and is_live(row.lease) then contacts.lock(contact, row) end
  contacts.save(contact)
end

local function convert_delivery(name)
  local old, flat = {}, redis.call('HGETALL', key('delivery', name))
  for i = 1, #flat, 2 do old[flat[i]] = flat[i + 1] end
  redis.call('DEL', key('delivery', name))
  -- A delivery that already exists is newer: the earlier version failed after the first writes of this one.
  if not old.content or redis.call('EXISTS', key('d', short_name(name))) == 1 then return end
  local states = {claimed = CLAIMED, unknown = UNKNOWN, settled = SETTLED}
  local row = {delivery = short_name(name), content = short_name(old.content), state = states[old.state],
    contact_type = tonumber(old.contact_type), transient = old.transient, expires = tonumber(old.expires),
    claimed = tonumber(old.claimed), token = old.token, lease = tonumber(old.lease), sent = tonumber(old.sent),
    gave_up = tonumber(old.gave_up), sent2 = tonumber(old.sent2), gave_up2 = tonumber(old.gave_up2),
    counted = old.counted ~= nil, settled_by = (old.settled_by or ''):sub(1, 16), outcome = old.outcome,
    request_id = old.request_id or '', resolved = old.resolved or '0'}
  if old.series then row.series = '+ ' .. old.series:gsub('%x+', short_name) end
  local is_detached = not name:match('^%x+$')
  if not old.series then convert_contact(old, row, is_detached) end
  if is_detached or math.max(row.expires, row.claimed + retention) <= now then return end
  deliveries.save(row)
  if row.state ~= SETTLED then deliveries.index(row.delivery, row.content) end
end

-- Convert the records with these keys. `stage` is "first" at the start of the conversion, when the names are those of
-- actions, and "last" at its end.
local stage, names = ARGV[2], {unpack(ARGV, 3)}
if stage == 'first' then
  redis.call('DEL', prefix .. 'leases')
  redis.call('SET', prefix .. 'open', 'converting')
  for _, action in ipairs(names) do convert_rate(action) end
  return
end
for _, name in ipairs(names) do
  local kind, rest = name:sub(#prefix + 1):match('^(%a+):(.+)$')
  if kind == 'delivery' then
    convert_delivery(rest)
  elseif kind == 'unknown' or kind == 'calls' or kind == 'wrong' or kind == 'lock' then
    redis.call('DEL', name)
  elseif kind == 'removal' or kind == 'spent' or kind == 'sends' then
    local is_earlier = #rest == 32 and redis.call('EXISTS', name) == 1 -- not yet converted by another instance
    if is_earlier and redis.call('RENAMENX', name, key(kind, short_name(rest))) == 0 then redis.call('DEL', name) end
  end
end
if stage == 'last' then tidy() end
