-- One decision: the first candidate that is not cooling down and has room in every window takes a token from each of
-- them. All or nothing: a refusal writes nothing. The order of the candidates is the caller's (weighted, random).
--
-- A window is a list of the times (ms) at which calls were admitted, oldest first, never longer than its limit. A call
-- fits if the list is shorter than the limit, or if the entry `limit` places from its end has left the period. That is
-- the exact sliding window in O(1), at 10 bytes an entry. An entry counts while time < entry + period.
-- The clock is Redis' own (TIME), one for all processes. Should it be set back, waits grow by as much.
--
-- KEYS[1]                 hash of cooldowns of the provider: subject -> till (ms, Redis' clock)
-- KEYS[2 .. 1+S]          windows that every candidate shares (function, provider, target)
-- then M a candidate      its own windows (credential, app, credential+function)
-- ARGV[1..4]              S, M, number of candidates, number of cooldown subjects a candidate
-- ARGV[5 .. 4+2*(S+M)]    calls and period (ms) of each shared window, then of each own one
-- then 1                  the provider's cooldown subject
-- then P a candidate      its cooldown subjects
--
-- Returns {candidate, 0, 0, 0, 0} (from 1), or when nobody may call
--         {0, least wait in ms, candidates limited, candidates cooling, what the wait is for}:
--         the number of a window (from 1: shared, then own), or 0 for a cooldown.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local shared, own, candidates, subjects = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local windows = shared + own
local cooling = redis.call('EXISTS', KEYS[1]) == 1

-- ms until the window has room; 0 = now
local function window_wait(key, number)
  local calls = tonumber(ARGV[3 + 2 * number])
  local excess = redis.call('LLEN', key) - calls
  if excess < 0 then
    return 0
  end
  local free = redis.call('LINDEX', key, excess) + ARGV[4 + 2 * number]
  return math.max(free - now, 0)
end

local function cooldown_wait(first, count)
  local wait = 0
  if cooling then
    for _, till in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV, first, first + count - 1))) do
      if till then
        wait = math.max(wait, till - now)
      end
    end
  end
  return wait
end

local function push(key, number)
  local excess = redis.call('LLEN', key) - ARGV[3 + 2 * number]
  if excess >= 0 then -- all up to this entry have left the period, or the call would not fit
    redis.call('LTRIM', key, excess + 1, -1)
  end
  redis.call('RPUSH', key, now)
  redis.call('PEXPIRE', key, ARGV[4 + 2 * number])
end

local first_subject = 5 + 2 * windows
local common_wait, common_cause = cooldown_wait(first_subject, 1), 0
local common_cooling = common_wait > 0
for number = 1, shared do
  local wait = window_wait(KEYS[1 + number], number)
  if wait > common_wait then
    common_wait, common_cause = wait, number
  end
end

local least, least_cause, limited, cooled = -1, 0, 0, 0
for candidate = 1, candidates do
  local first_key = 1 + shared + (candidate - 1) * own
  local wait, cause = common_wait, common_cause
  local pause = cooldown_wait(first_subject + 1 + (candidate - 1) * subjects, subjects)
  if pause > wait then
    wait, cause = pause, 0
  end
  for number = 1, own do
    local room = window_wait(KEYS[first_key + number], shared + number)
    if room > wait then
      wait, cause = room, shared + number
    end
  end
  if wait == 0 then
    for number = 1, shared do
      push(KEYS[1 + number], number)
    end
    for number = 1, own do
      push(KEYS[first_key + number], shared + number)
    end
    return {candidate, 0, 0, 0, 0}
  end
  if pause > 0 or common_cooling then
    cooled = cooled + 1
  else
    limited = limited + 1
  end
  if least < 0 or wait < least then
    least, least_cause = wait, cause
  end
end
return {0, least, limited, cooled, least_cause}
