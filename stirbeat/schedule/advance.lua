-- Note that a row has fired, if the caller is still the one beat that may say so.
--
-- KEYS[1]  the beats' lock
-- KEYS[2]  the row's hash; its field `meta` holds when it last ran
-- KEYS[3]  the sorted set of all rows by the time at which they are due
-- ARGV[1]  the caller's token; the lock's value while the caller holds it
-- ARGV[2]  the new `meta`
-- ARGV[3]  the new score
--
-- Returns 1; or 0 and changes nothing when another beat, or none, holds the lock.
-- A row that was removed in the meantime is not brought back.
if redis.call('get', KEYS[1]) ~= ARGV[1] then
    return 0
end
if redis.call('exists', KEYS[2]) == 1 then
    redis.call('hset', KEYS[2], 'meta', ARGV[2])
    redis.call('zadd', KEYS[3], ARGV[3], KEYS[2])
end
return 1
