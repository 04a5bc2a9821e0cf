-- Cools subjects of one provider down, in all processes at once. A longer cooldown that holds already is kept.
--
-- KEYS[1]     hash of cooldowns of the provider: subject -> till (ms, Redis' clock); gone when the last one ends
-- ARGV[1]     ms from now; 0 ends the subjects' cooldowns
-- ARGV[2..]   subjects
-- Returns the number of cooldowns that hold now.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local till = now + ARGV[1]
for i = 2, #ARGV do
  if till <= now then
    redis.call('HDEL', KEYS[1], ARGV[i])
  elseif tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0) < till then
    redis.call('HSET', KEYS[1], ARGV[i], till)
  end
end

local all = redis.call('HGETALL', KEYS[1])
local last, held = 0, 0
for i = 1, #all, 2 do
  local ends = tonumber(all[i + 1])
  if ends <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    held = held + 1
    last = math.max(last, ends)
  end
end
if held > 0 then
  redis.call('PEXPIREAT', KEYS[1], last)
end
return held
