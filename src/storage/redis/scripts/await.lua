-- Enters tasks whose ends somebody waits for; those that are over, or gone, will tell of none.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 channel that hears of the ends, then ids
-- Reply nothing
-- Cost  HMGET, SADD, HSET, and one HEXISTS for each task that was never moved
-- Bound 1,000 ids
local tasks, states, ids = KEYS[1] .. ":tasks", {}, {}
for i = 2, #ARGV do states[i - 1] = ARGV[i] .. "s" end
states = redis.call("HMGET", tasks, unpack(states))
for i = 1, #states do
  local id = ARGV[i + 1]
  local letter = states[i] and string.sub(states[i], 1, 1)
  if letter and not string.find("CDX", letter, 1, true) or not letter and redis.call("HEXISTS", tasks, id) == 1 then
    ids[#ids + 1] = id
  end
end
if #ids > 0 then
  redis.call("SADD", KEYS[1] .. ":awaited", unpack(ids))
  redis.call("HSET", KEYS[1] .. ":meta", "awaited", ARGV[1])
end
return 0
