-- The records of the ledger over Redis, and how each is written together with the keys that find it. Times are seconds
-- on Redis's own clock.
--
-- KEYS[1] is the prefix of every key. Its braces keep them in one slot of a cluster.
--   delivery:<name>   a hash: the delivery, its owner, its calls, its outcome
--   unknown:<content> a set: the deliveries of this content whose outcome is not definitive
--   calls:<contact>   a sorted set: the contact's calls by the time they were sent; a second call is "<delivery>:2"
--   wrong:<contact>   a sorted set: the deliveries whose code may have been wrong
--   lock:<contact>    "<delivery> <lease>"
--   open              a sorted set: the deliveries whose outcome is not definitive, by the time they expire
--   leases            a sorted set: those of them that are in progress, by the time their lease ends
--   pace:<action>     a hash: the state of the action's rate limiter
--   removal:<exact>   the contact must be taken off the account's list
--   sends:<series>    a sorted set: the messages of a counter, by their owners' tokens
--   spent:<content>   this content was verified, and its contact taken off the list
--   room              never written: see `check_room`
-- ARGV[1] is the step, ARGV[2] to ARGV[13] are the policy, the rest are the step's arguments.

local prefix, step = KEYS[1], ARGV[1]
local ttl, wrong_codes, window, interval, retention = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
  tonumber(ARGV[5]), tonumber(ARGV[6])
local lease_limit, content_replay = tonumber(ARGV[7]), tonumber(ARGV[8])
local backoff_factor, min_rate_factor, recovery = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local max_competing, competing_margin = tonumber(ARGV[12]), tonumber(ARGV[13])
local argument = function(n) return ARGV[13 + n] end
local number = function(n) return tonumber(ARGV[13 + n]) end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local TIMES = {'expires', 'claimed', 'lease', 'counted', 'sent', 'gave_up', 'sent2', 'gave_up2'}

local function text(seconds)
  return string.format('%.6f', seconds)
end

local function key(kind, name)
  return prefix .. kind .. ':' .. name
end

-- Let a key live for at least so long: a key that several deliveries share lives as long as the last of them.
local function expire(name, seconds)
  local life = math.ceil(math.max(seconds, 1) * 1000)
  if redis.call('PTTL', name) < life then redis.call('PEXPIRE', name, life) end
end

local function load(delivery)
  local flat = redis.call('HGETALL', key('delivery', delivery))
  if #flat == 0 then return nil end
  local row = {delivery = delivery}
  for i = 1, #flat, 2 do row[flat[i]] = flat[i + 1] end
  for _, name in ipairs(TIMES) do row[name] = tonumber(row[name]) end
  -- A later time was written before the clock was set back: it counts from now.
  if row.counted then row.counted = math.min(row.counted, now) end
  return row
end

-- Fail if the server accepts no writes, before anything is changed. It checks a script's first write only, and lets a
-- DEL pass when the memory is full. This command needs memory by its kind, and changes nothing.
local function check_room()
  redis.call('ZADD', prefix .. 'room', 'XX', 0, '')
end

local function unlock(row)
  local lock = redis.call('GET', key('lock', row.contact))
  if lock and lock:match('^(%S+) ') == row.delivery then redis.call('DEL', key('lock', row.contact)) end
end

local function is_live(lease)
  return lease ~= nil and now < lease and lease <= now + lease_limit
end

local function is_locked_by_another(row)
  local lock = redis.call('GET', key('lock', row.contact))
  if not lock then return false end
  local holder, lease = lock:match('^(%S+) (%S+)$')
  return holder ~= row.delivery and is_live(tonumber(lease))
end

-- Keep a delivery in one of the sorted sets of all deliveries until a time, or remove it.
local function mark(set, delivery, at, life)
  redis.call('ZREMRANGEBYSCORE', prefix .. set, '-inf', text(now))
  if not at then return redis.call('ZREM', prefix .. set, delivery) end
  redis.call('ZADD', prefix .. set, text(at), delivery)
  expire(prefix .. set, life)
end

-- Write a delivery and the keys that find it.
local function save(row)
  local name, flat = key('delivery', row.delivery), {}
  for field, value in pairs(row) do
    if field ~= 'delivery' then
      flat[#flat + 1] = field
      flat[#flat + 1] = type(value) == 'number' and text(value) or value
    end
  end
  local life = math.max(row.expires, row.claimed + retention) - now
  redis.call('DEL', name)
  redis.call('HSET', name, unpack(flat))
  expire(name, life)
  if row.state == 'settled' then
    redis.call('SREM', key('unknown', row.content), row.delivery)
  else
    redis.call('SADD', key('unknown', row.content), row.delivery)
    expire(key('unknown', row.content), life)
  end
  mark('open', row.delivery, row.state ~= 'settled' and row.expires, life)
  mark('leases', row.delivery, row.state == 'claimed' and row.lease, life)
  if row.sent or row.sent2 then
    local calls = key('calls', row.contact)
    if row.sent then redis.call('ZADD', calls, text(row.sent), row.delivery) end
    if row.sent2 then redis.call('ZADD', calls, text(row.sent2), row.delivery .. ':2') end
    redis.call('ZREMRANGEBYSCORE', calls, '-inf', text(now - retention - lease_limit - competing_margin))
    expire(calls, life)
  end
  if row.counted then
    redis.call('ZADD', key('wrong', row.contact), text(row.counted), row.delivery)
    expire(key('wrong', row.contact), window + lease_limit)
  else
    redis.call('ZREM', key('wrong', row.contact), row.delivery)
  end
  if row.lease and not is_locked_by_another(row) then
    redis.call('SET', key('lock', row.contact), row.delivery .. ' ' .. text(row.lease))
    expire(key('lock', row.contact), life)
  elseif not row.lease then
    unlock(row)
  end
end

local function remove(row)
  redis.call('DEL', key('delivery', row.delivery))
  redis.call('SREM', key('unknown', row.content), row.delivery)
  mark('open', row.delivery)
  mark('leases', row.delivery)
  redis.call('ZREM', key('calls', row.contact), row.delivery, row.delivery .. ':2')
  redis.call('ZREM', key('wrong', row.contact), row.delivery)
  unlock(row)
end

-- A call without a recorded end is over with its lease.
local function append_calls(row, into)
  for _, pair in ipairs({{row.sent, row.gave_up}, {row.sent2, row.gave_up2}}) do
    if pair[1] then
      into[#into + 1] = text(pair[1])
      into[#into + 1] = text(math.max(pair[1], pair[2] or row.lease or pair[1]))
    end
  end
end

-- The contact's calls with other contents around `calls`, and whether there are more than are read.
local function competing_calls_of(contact, content, calls)
  local competing, seen = {}, {}
  for i = 1, #calls, 2 do
    local sent, gave_up = tonumber(calls[i]), tonumber(calls[i + 1])
    if sent > now - retention then
      local names = redis.call('ZREVRANGEBYSCORE', key('calls', contact), text(gave_up + competing_margin),
        text(sent - lease_limit - competing_margin), 'LIMIT', 0, max_competing + 1)
      if #names > max_competing then return {}, '1' end
      for _, name in ipairs(names) do
        local delivery = name:match('^[^:]+')
        local other = not seen[delivery] and load(delivery)
        seen[delivery] = true
        if other and other.content ~= content then append_calls(other, competing) end
      end
    end
  end
  return competing, '0'
end

local function close_calls(row)
  if row.sent then row.gave_up = row.gave_up or row.lease or row.sent end
  if row.sent2 then row.gave_up2 = row.gave_up2 or row.lease or row.sent2 end
end

local function rate_factor(state)
  local since = now - state.slowed
  return since < -1 and 1 or math.min(1, state.factor + recovery * math.max(0, since))
end

local function rate_state(action)
  local values = redis.call('HMGET', key('pace', action), 'free', 'at', 'factor', 'slowed')
  return {free = tonumber(values[1] or 0), at = tonumber(values[2] or 0), factor = tonumber(values[3] or 1),
    slowed = tonumber(values[4] or 0)}
end

local function save_rate_state(action, state)
  redis.call('HSET', key('pace', action), 'free', text(state.free), 'at', text(state.at), 'factor', text(state.factor),
    'slowed', text(state.slowed))
  expire(key('pace', action), lease_limit * 2)
end

-- The wait for the action's next free slot, and whether it was reserved.
local function reserve_slot(action, max_wait)
  local state = rate_state(action)
  local free = state.at > now + 1 and now or math.max(now, state.free)
  local wait = free - now
  if wait > max_wait then return wait, false end
  state.free, state.at = free + interval / rate_factor(state), now
  save_rate_state(action, state)
  return wait, true
end

local function record(row)
  return {row.outcome, row.request_id or '', row.resolved or '0', row.contact_type}
end

local function find_owned(delivery, token)
  local row = load(delivery)
  if row and row.token == token and row.state == 'claimed' then return row end
  return nil
end

-- A delivery counts as a wrong code once: at its first time, which is taken from the detached row `before`.
local function move_count(new, before, at)
  new.counted = at
  if before then
    new.counted, before.counted = before.counted, nil
    save(before)
  end
end
