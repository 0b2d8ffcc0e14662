-- The keys of the ledger over Redis, and the formats of their values. Times are seconds on Redis's own clock.
--
-- KEYS[1] is the prefix of every key. Its braces keep them in one slot of a cluster. The values are strings:
--   d:<delivery>     packed: the delivery, its owner, its calls, its outcome; see below
--   c:<contact>      packed: the contact's last calls, its wrong codes, and the delivery that locks it
--   u:<content>      deliveries of this content whose outcome is unknown, with spaces between them
--   pace:<action>    packed: the state of the action's rate limiter
--   removal:<exact>  the contact must be taken off the account's list
--   spent:<content>  this content was verified, and its contact taken off the list
--   key              the fingerprint of the key of all names
--   open             the layout of the keys; an earlier layout had a sorted set here, so that its scripts fail
-- or sorted sets:
--   h:<contact>      the contact's earlier calls, by the time they were sent
--   unsettled        the deliveries whose outcome is not definitive: if claimed, by the end of their lease; if unknown,
--                    by the negated time they expire
--   sends:<series>   the messages of a counter, by their owners' tokens
--
-- `scripts.py` writes the policy and the time before this file, and steps behind it. ARGV[1] is the step, the rest are
-- its arguments. Redis runs all of this for every step, and to create a function costs time even if nothing calls it:
-- the usual case of a claim and of a settlement returns before the first function.

local prefix, now = KEYS[1], tonumber(time[1]) + tonumber(time[2]) / 1000000

local UNSETTLED, LAYOUT = prefix .. 'unsettled', '2'

-- A packed delivery: its state, content, contact type, whether its id is its content's, when it expires and when it was
-- claimed, the owner who settled it, and the fields of its state. If it is not settled, these are its lease, its token,
-- its calls, and whether it counts as a wrong code; its counters follow. If it is settled, they are its lock, its outcome
-- and whether that was reconciled; its request id follows, or, if too many wrong codes came before it, the time from
-- which a new delivery for the contact may be tried. One that has an owner then locks its contact, to be taken off
-- the list: the lock is the lease and the token. A time that a delivery does not have is 0.
local CLAIMED, UNKNOWN, SETTLED = 'c', 'u', 's'
local UNSETTLED_FORMAT, SETTLED_FORMAT = '>c1c22Bc1ddBc0dBc0ddddc1', '>c1c22Bc1ddBc0Bc0Bc0c1'

-- A packed contact: its calls; if it has some, its wrong codes; if it is locked, the delivery that holds it and the
-- lease. The content of a delivery that is claimed follows: if its lease is over, it is abandoned, and its outcome is
-- unknown. A call is the tag of its content and its two times. A wrong code is a delivery, the tag of its content, and
-- the time at which it counts.
local CALLS_FORMAT, WRONG_CODES_FORMAT, LOCKED_FORMAT = '>Hc0', '>Hc0Ic0', '>Hc0Ic0c22d'
local TAG = 10 -- characters of a content's name that tell it from others of its contact
local CALL = TAG + 16 -- bytes of a call
local RECENT_CALLS = 16 -- calls that stay in a contact's record, at least
local ID = 22 + TAG -- characters that identify a wrong code
local WRONG_CODE = ID + 8 -- bytes of a wrong code
local LOCK = 22 + 8 + 22 -- bytes of a claimed delivery's lock

-- A packed rate: when the next slot is free, when the last one was reserved, the factor, and when it was lowered.
local RATE_FORMAT = '>dddd'

-- Seconds for which a call or a wrong code may be read, and more than any record is kept.
local HISTORY, RECORD_LIFE = retention + lease_limit + competing_margin, math.max(ttl, retention) + 2 * lease_limit
