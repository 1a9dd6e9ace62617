-- Moves the end of held leases.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, then for each beat: id, token, leaseMs or ""
-- Reply for each beat: the new end | L state | N
-- Cost  TIME, HMGET, ZMSCORE, ZADD; one HMGET more when a task has no state; three more when the due time falls
-- Bound 1,000 beats
--#include queue
--#include meta
local names, ids = {}, {}
for at = 2, #ARGV, 3 do
  ids[#ids + 1] = ARGV[at]
  names[#names + 1] = ARGV[at] .. "s"
end
local states = call("HMGET", TASKS, unpack(names))
local ends = call("ZMSCORE", LEASES, unpack(ids))
local bare = {}
for i = 1, #ids do if not states[i] then bare[#bare + 1] = ids[i] end end
local is_there = {}
if #bare > 0 then
  local records = call("HMGET", TASKS, unpack(bare))
  for i = 1, #bare do is_there[bare[i]] = records[i] end
end
local outcomes, moved, soonest, shortened = {}, {}, nil, false
for i = 1, #ids do
  local at = 3 * i - 1
  local state = states[i]
  if not state then outcomes[i] = is_there[ids[i]] and "LR" or "N"
  else
    local token, lease = match(state, "^L,%d,%d+,[^,]*,%d+,%d+,%d+,%d+,%d,([%d.]+),%d+,(%d+),")
    if token ~= ARGV[at + 1] or tonumber(ends[i]) <= now then outcomes[i] = "L" .. string.sub(state, 1, 1)
    else
      local finish = now + (tonumber(ARGV[at + 2]) or lease)
      moved[#moved + 1] = finish
      moved[#moved + 1] = ids[i]
      if finish < tonumber(ends[i]) then shortened = true end
      if not soonest or finish < soonest then soonest = finish end
      outcomes[i] = finish
    end
  end
end
if #moved > 0 then call("ZADD", LEASES, unpack(moved)) end
if shortened then
  load_meta({ "due" })
  expect_due(soonest, false)
  save_meta()
end
return { now, outcomes }
