-- The rate of an action. `value` is the value of the action's key.

local rate = {}

function rate.unpack(value)
  if not value then return {free = 0, at = 0, factor = 1, slowed = 0} end
  local free, at, factor, slowed = struct.unpack(RATE_FORMAT, value)
  return {free = free, at = at, factor = factor, slowed = slowed}
end

function rate.factor(state)
  local since = now - state.slowed
  return since < -1 and 1 or math.min(1, state.factor + recovery * math.max(0, since))
end

-- For a hash, the type of the earlier layout, MGET returns nil where GET would fail. The key is then overwritten.
function rate.load(action)
  return redis.call('MGET', key('pace', action))[1]
end

-- `extends`: also extend the life of the key, which is necessary from time to time.
function rate.save(action, state, extends)
  local value = struct.pack(RATE_FORMAT, state.free, state.at, state.factor, state.slowed)
  if extends then
    set(key('pace', action), value, lease_limit * 2)
  else
    redis.call('SETRANGE', key('pace', action), 0, value)
  end
end

-- Return the wait for the action's next free slot, and whether the slot was reserved.
function rate.reserve_slot(action, max_wait, value)
  local state = rate.unpack(value)
  local free = state.at > now + 1 and now or math.max(now, state.free)
  local wait = free - now
  if wait > max_wait then return wait, false end
  local is_next_minute = math.floor(state.at / 60) ~= math.floor(now / 60)
  state.free, state.at = free + interval / rate.factor(state), now
  rate.save(action, state, is_next_minute)
  if is_next_minute then tidy() end
  return wait, true
end
