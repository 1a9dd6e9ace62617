-- Reads tasks by id.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  ids
-- Reply for each: record, state, failures, result, end of lease; nothing where there is none
-- Cost  HMGET, ZMSCORE
-- Bound 1,000 ids
local tasks, names = KEYS[1] .. ":tasks", {}
for i = 1, #ARGV do
  local id = ARGV[i]
  names[#names + 1], names[#names + 2], names[#names + 3], names[#names + 4] = id, id .. "s", id .. "e", id .. "r"
end
local values = redis.call("HMGET", tasks, unpack(names))
local ends = redis.call("ZMSCORE", KEYS[1] .. ":leases", unpack(ARGV))
local reply = {}
for i = 1, #ARGV do
  local at = 4 * i - 3
  reply[i] = { values[at], values[at + 1], values[at + 2], values[at + 3], ends[i] }
end
return reply
