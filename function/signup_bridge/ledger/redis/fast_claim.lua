-- Read the arguments and keys of a claim. The fast path handles a new delivery whose contact has neither a lock nor a
-- wrong code; it makes the same writes as `claim.lua`, in the same order.

local _, delivery, content, contact_name, exact, contact_type, transient, token, lease, max_wait, action = unpack(ARGV)
local delivery_key, contact_key, rate_key = prefix .. 'd:' .. delivery, prefix .. 'c:' .. contact_name,
  prefix .. 'pace:' .. action
local found, held, names, removal, used_until, pace = unpack(redis.call('MGET', delivery_key, contact_key,
  prefix .. 'u:' .. content, prefix .. 'removal:' .. exact, prefix .. 'spent:' .. content, rate_key))
lease, max_wait = now + lease, tonumber(max_wait)

local is_new = pace and not (found or names or used_until)
local has_only_calls = not held or #held < 2 + 2 * RECENT_CALLS * CALL and #held == 2 + struct.unpack('>H', held)
if is_new and has_only_calls then
  local free, at, factor, slowed = struct.unpack(RATE_FORMAT, pace)
  local wait = math.max(0, free - now)
  local is_same_minute = now - now % 60 <= at and at <= now
  if is_same_minute and slowed <= now and wait <= max_wait then
    local tag, sent, expires = content:sub(1, TAG), now + wait, lease + ttl
    local calls = (held and held:sub(3) or '') .. tag .. struct.pack('>dd', sent, lease)
    local wrong = delivery .. tag .. struct.pack('>d', sent)
    free = math.max(now, free) + interval / math.min(1, factor + recovery * (now - slowed))
    redis.call('SETRANGE', rate_key, 0, struct.pack(RATE_FORMAT, free, now, factor, slowed))
    redis.call('ZADD', UNSETTLED, lease, delivery)
    redis.call('SET', delivery_key, struct.pack(UNSETTLED_FORMAT, CLAIMED, content, contact_type, transient, expires, now,
      0, '', lease, #token, token, sent, 0, 0, 0, '1'), 'PX', math.ceil((math.max(expires, now + retention) - now) * 1000))
    redis.call('SET', contact_key, struct.pack(LOCKED_FORMAT, #calls, calls, #wrong, wrong, delivery, lease) .. content,
      'PX', math.ceil(RECORD_LIFE * 1000))
    return {'acquired', string.format('%.6f', wait), removal and '1' or '0', {}}
  end
end
