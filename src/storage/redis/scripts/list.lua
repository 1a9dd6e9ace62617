-- One page of the tasks of a state, in the order in which they leave it.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 state, 2 limit, 3 bytes, then where the page before ended: of ready tasks priority and seq, else score and
--       member; nothing for the first page
-- Reply cursor of the next page as two values (empty on the last), then for each task: id, record, state, failures,
--       result, end of lease
-- Cost  HMGET, HMGET, HMGET, LINDEX and one LRANGE for each priority, or at most ZADD, ZRANK, ZREM, ZRANGE
-- Bound 200 tasks, 500 tombstones, 16 MiB
local base, state, limit, bytes_max = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local tasks, match, call = base .. ":tasks", string.match, redis.call
local places, states = {}, {}

local function read_states(from)
  local names = {}
  for i = from, #places do names[#names + 1] = places[i].id .. "s" end
  if #names == 0 then return end
  local values = call("HMGET", tasks, unpack(names))
  for i = 1, #values do states[from + i - 1] = values[i] end
end

if state == "ready" then
  local queue = call("HMGET", base .. ":meta", "tombs", "priorities")
  local extra = math.min(tonumber(queue[1]) or 0, {{stepMax}})
  local top = tonumber(ARGV[4]) or 9
  for priority in string.gmatch(queue[2] or "", "%d") do
    local left, key = limit + 1 + extra - #places, base .. ":ready:" .. priority
    if tonumber(priority) <= top and left > 0 then
      local from = 0
      if ARGV[5] and tonumber(priority) == top then
        local head = match(call("LINDEX", key, 0) or ARGV[5], "^-?%d+")
        from = math.max(0, ARGV[5] + 1 - head)
      end
      local elements = call("LRANGE", key, from, from + left - 1)
      for i = 1, #elements do
        local seq, bytes, id = match(elements[i], "^(-?%d+),(%d+)[,:](.*)$")
        places[#places + 1] = { id = id, first = priority, second = seq, bytes = tonumber(bytes) }
      end
    end
  end
  read_states(1)
  if extra > 0 then
    local live, live_states = {}, {}
    for i = 1, #places do
      if not states[i] or match(states[i], "^R.*,(-?%d+)$") == places[i].second then
        live[#live + 1] = places[i]
        live_states[#live] = states[i]
      end
    end
    places, states = live, live_states
  end
else
  local key = base .. ":" .. (state == "leased" and "leases" or state)
  local from = 0
  if ARGV[5] then
    -- The last task of the page before may be gone: put back for a moment, it tells where the next one stands.
    local rank = call("ZSCORE", key, ARGV[5]) == ARGV[4] and call("ZRANK", key, ARGV[5])
    if rank then from = rank + 1
    elseif call("ZSCORE", key, ARGV[5]) then
      -- It has moved within the state: what follows its old place follows the score alone.
      from = call("ZCOUNT", key, "-inf", ARGV[4])
    else
      call("ZADD", key, ARGV[4], ARGV[5])
      from = call("ZRANK", key, ARGV[5])
      call("ZREM", key, ARGV[5])
    end
  end
  local members = call("ZRANGE", key, from, from + limit, "WITHSCORES")
  for i = 1, #members, 2 do
    places[#places + 1] = { id = string.sub(members[i], -16), first = members[i + 1], second = members[i] }
  end
  read_states(1)
  for i = 1, #places do
    local payload = match(states[i], "^%u,%d,%d+,[^,]*,(%d+)")
    local result = match(states[i], "^[CDX],%d,%d+,[^,]*,%d+,%d+,%d+,%d+,%d,[%d.]+,%d+,%d+,(%d+)")
    places[i].bytes = payload + (result or 0)
  end
end

local count, bytes = 0, 0
while count < limit and places[count + 1] do
  bytes = bytes + places[count + 1].bytes
  if bytes > bytes_max and count > 0 then break end
  count = count + 1
end
local names, reply = {}, { "", "" }
for i = 1, count do
  local id = places[i].id
  names[#names + 1], names[#names + 2], names[#names + 3] = id, id .. "e", id .. "r"
end
local values = count > 0 and call("HMGET", tasks, unpack(names)) or {}
local at = 2
for i = 1, count do
  if values[3 * i - 2] then
    reply[at + 1] = places[i].id
    reply[at + 2] = values[3 * i - 2]
    reply[at + 3] = states[i] or ""
    reply[at + 4] = values[3 * i - 1] or ""
    reply[at + 5] = values[3 * i]
    reply[at + 6] = state == "leased" and places[i].first or ""
    at = at + 6
  end
end
if places[count + 1] then
  reply[1] = tostring(places[count].first)
  reply[2] = places[count].second
end
return reply
