-- One decision: the first candidate that is not cooling down and has room in every window takes a token from each of
-- them. All or nothing: a refusal writes nothing. The order of the candidates is the caller's (weighted, random).
--
-- A window is a list of the times (ms) at which calls were admitted, oldest first, never longer than its limit. A call
-- fits if there is no entry `limit` places from the end, or if that one has left the period. That is the exact sliding
-- window with one look at one entry, and 10 bytes for each. An entry counts while time < entry + period.
-- The clock is Redis' own (TIME), one for all processes. Should it be set back, waits grow by as much.
--
-- KEYS[1]                 hash of cooldowns of the provider: subject -> till (ms, Redis' clock)
-- KEYS[2 .. 1+S]          windows that every candidate shares (function, provider, target)
-- then M a candidate      its own windows (credential, app, credential+function)
-- ARGV[1], ARGV[2]        S, M
-- ARGV[3]                 JSON: [calls, period in ms, ...] of each shared window, then of each own one
-- ARGV[4]                 the provider's cooldown subject
-- ARGV[5 ..]              a candidate each: JSON list of its cooldown subjects (read only while something cools down)
--
-- Returns the chosen candidate's number (from 1), or when nobody may call
--         {least wait in ms, candidates limited, candidates cooling, what the wait is for}:
--         the number of a window (from 1: shared, then own), or 0 for a cooldown.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local shared, own, candidates = tonumber(ARGV[1]), tonumber(ARGV[2]), #ARGV - 4
local limits = cjson.decode(ARGV[3])
local cooling = redis.call('EXISTS', KEYS[1]) == 1

-- ms until the window has room; 0 = now
local function window_wait(key, number)
  local entry = redis.call('LINDEX', key, -limits[2 * number - 1])
  return entry and math.max(entry + limits[2 * number] - now, 0) or 0
end

-- ms until the last of the subjects has cooled down
local function cooldown_wait(subjects)
  local wait = 0
  for _, till in ipairs(redis.call('HMGET', KEYS[1], unpack(subjects))) do
    if till then
      wait = math.max(wait, till - now)
    end
  end
  return wait
end

local function push(key, number)
  local calls = limits[2 * number - 1]
  if redis.call('RPUSH', key, now) > calls then -- what is cut off has left the period, or the call would not fit
    redis.call('LTRIM', key, -calls, -1)
  end
  redis.call('PEXPIRE', key, limits[2 * number])
end

local common_wait, common_cause = cooling and cooldown_wait({ARGV[4]}) or 0, 0
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
  local pause = cooling and cooldown_wait(cjson.decode(ARGV[4 + candidate])) or 0
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
    return candidate
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
return {least, limited, cooled, least_cause}
