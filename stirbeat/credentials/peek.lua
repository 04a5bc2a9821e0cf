-- How full windows are. Writes nothing. The lists are those of take.lua: times (ms) of admitted calls, oldest first.
--
-- KEYS[i]   a window
-- ARGV[i]   its period in ms
-- Returns for each window: calls that count now, ms until the oldest of them no longer does (0 if there is none).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i, key in ipairs(KEYS) do
  local period = tonumber(ARGV[i])
  local length = redis.call('LLEN', key)
  -- Binary search for the first entry that still counts.
  local low, high = 0, length
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('LINDEX', key, middle) + period > now then
      high = middle
    else
      low = middle + 1
    end
  end
  local resets = 0
  if low < length then
    resets = redis.call('LINDEX', key, low) + period - now
  end
  answer[2 * i - 1] = length - low
  answer[2 * i] = resets
end
return answer
