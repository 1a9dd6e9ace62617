-- Enters tasks whose ends somebody waits for.
-- KEYS  1 queue
-- ARGV  1 channel that hears of the ends, then ids
-- Reply nothing
-- Cost  SADD, HSET
-- Bound 1,000 ids
local ids = {}
for i = 2, #ARGV do ids[#ids + 1] = ARGV[i] end
redis.call("SADD", KEYS[1] .. ":awaited", unpack(ids))
redis.call("HSET", KEYS[1] .. ":meta", "awaited", ARGV[1])
return 0
