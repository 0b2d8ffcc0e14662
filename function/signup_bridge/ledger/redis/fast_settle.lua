-- Read the arguments and keys of a settlement. The fast path handles a call whose delivery still locks its contact, and
-- whose result is verified or a wrong code; it makes the same writes as `settle.lua`, in the same order.

-- `sent_ago` is empty if no call was made; `outcome` is empty if it is unknown.
local _, delivery, token, outcome, request_id, resolved, sent_ago, gave_up_ago, counts, release_seconds, exact, content,
  contact_name, contact_type, transient, sent_after, gave_up_after, replay_seconds = unpack(ARGV)
local delivery_key, contact_key = prefix .. 'd:' .. delivery, prefix .. 'c:' .. contact_name
local found, held, names = unpack(redis.call('MGET', delivery_key, contact_key, prefix .. 'u:' .. content))
replay_seconds, release_seconds = tonumber(replay_seconds), tonumber(release_seconds)

local is_claimed = found and found:sub(1, 1) == CLAIMED
local holds_lock = held and held:sub(-LOCK, -LOCK + 21) == delivery
local is_verified_or_wrong = outcome == verified or outcome ~= '' and counts == '1'
local is_usual = is_verified_or_wrong and sent_ago ~= '' and release_seconds == 0 and not names
if is_claimed and holds_lock and is_usual then
  local _, _, kind, is_content, _, claimed, _, lease, owner, reserved, gave_up, second = struct.unpack(UNSETTLED_FORMAT,
    found)
  local calls, wrong = struct.unpack(WRONG_CODES_FORMAT, held)
  local tag = content:sub(1, TAG)
  local at = calls:find(tag .. struct.pack('>dd', reserved, lease), 1, true)
  if at and owner == token and gave_up == 0 and second == 0 then
    local sent = math.min(now - sent_ago, claimed + sent_after)
    local ended = math.max(sent, math.min(now - gave_up_ago, claimed + gave_up_after))
    local settled_by, expires = token:sub(1, 16), now + (is_content == '1' and replay_seconds or ttl)
    calls = calls:sub(1, at - 1) .. calls:sub(at + CALL) .. tag .. struct.pack('>dd', sent, ended)
    if outcome == verified then wrong = '' end
    local value = wrong == '' and struct.pack(CALLS_FORMAT, #calls, calls) or
      struct.pack(WRONG_CODES_FORMAT, #calls, calls, #wrong, wrong)
    redis.call('ZREM', UNSETTLED, delivery)
    redis.call('SET', delivery_key, struct.pack(SETTLED_FORMAT, SETTLED, content, kind, is_content, expires, claimed,
      #settled_by, settled_by, 0, '', #outcome, outcome, resolved) .. request_id, 'PX',
      math.ceil((math.max(expires, claimed + retention) - now) * 1000))
    redis.call('SET', contact_key, value, 'PX', math.ceil(HISTORY * 1000))
    return '1'
  end
end
