-- The keys of the Redis ledger, and the formats of their values. Times are seconds on the clock of Redis.
--
-- KEYS[1] is the prefix of every key. Its braces keep all keys in one slot of a cluster. These values are strings:
--   d:<delivery>     packed: the delivery, its owner, its calls, its outcome; see below
--   c:<contact>      packed: the contact's last calls, its wrong codes, and the delivery that locks it
--   u:<content>      the deliveries with this content and an unknown outcome, separated by spaces
--   pace:<action>    packed: the state of the action's rate limiter
--   removal:<exact>  the contact must be removed from the account's contact list
--   spent:<content>  this content was verified, and its contact was removed from the list
--   key              the fingerprint of the key of all hashes
--   open             the layout of the keys; an earlier layout had a sorted set here, so that its scripts fail
-- These values are sorted sets:
--   h:<contact>      the contact's earlier calls, by the time at which they were sent
--   unsettled        the deliveries without a definitive outcome: claimed ones by the end of their lease, unknown ones
--                    by the negated time at which they expire
--   sends:<series>   the messages of a counter, by their owners' tokens
--
-- `scripts.py` adds the policy and the time before this file, and steps after it. ARGV[1] is the step, followed by its
-- arguments. Redis runs the whole script for every step, and creating a function takes time even if it is not called.
-- Therefore, the typical case of a claim and of a settlement returns before the first function.

local prefix, now = KEYS[1], tonumber(time[1]) + tonumber(time[2]) / 1000000

local UNSETTLED, LAYOUT = prefix .. 'unsettled', '2'

-- A packed delivery: its state, content and contact type, whether its content identifies it, the times at which it
-- expires and was claimed, the owner that settled it, and the fields of its state. Before the settlement, these are its
-- lease, its token, its calls, and whether it counts as a wrong code, followed by its counters. After the settlement,
-- they are its lock, its outcome and whether that was reconciled, followed by its request id, or after too many wrong
-- codes by the time from which a new delivery for the contact may be tried. The lock is the lease and the token of an
-- owner that removes the contact from the account's list. 0 stands for a missing time.
local CLAIMED, UNKNOWN, SETTLED = 'c', 'u', 's'
local UNSETTLED_FORMAT, SETTLED_FORMAT = '>c1c22Bc1ddBc0dBc0ddddc1', '>c1c22Bc1ddBc0Bc0Bc0c1'

-- A packed contact: its calls; its wrong codes, if any; and if it is locked, the delivery that holds the lock and the
-- lease. The content of a claimed delivery follows. If its lease has expired, the delivery was abandoned, and its
-- outcome is unknown. A call is the tag of its content and its two times. A wrong code is a delivery, the tag of its
-- content, and the time at which it counts.
local CALLS_FORMAT, WRONG_CODES_FORMAT, LOCKED_FORMAT = '>Hc0', '>Hc0Ic0', '>Hc0Ic0c22d'
local TAG = 10 -- characters of a content's name that distinguish it from others of the same contact
local CALL = TAG + 16 -- bytes of a call
local RECENT_CALLS = 16 -- minimum number of calls that stay in a contact's record
local ID = 22 + TAG -- characters that identify a wrong code
local WRONG_CODE = ID + 8 -- bytes of a wrong code
local LOCK = 22 + 8 + 22 -- bytes of a claimed delivery's lock

-- A packed rate: the times of the next free slot and of the last reservation, the factor, and the time it was lowered.
local RATE_FORMAT = '>dddd'

-- Seconds for which a call or a wrong code may be needed, and a lifetime that exceeds that of all records.
local HISTORY, RECORD_LIFE = retention + lease_limit + competing_margin, math.max(ttl, retention) + 2 * lease_limit
