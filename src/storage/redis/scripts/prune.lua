-- Removes finished tasks that the retention no longer keeps, oldest first, tombstones at the heads of the ready
-- lists, and keys past their time.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 limit
-- Reply now, number of tasks removed
-- Cost  TIME, HMGET, three ZCARD, ZRANGE, HMGET, three ZREM, HDEL, HSET; keys: LRANGE, HMGET, LTRIM, HDEL; one LRANGE, HMGET,
--       LTRIM for each priority while there are tombstones
-- Bound 500 tasks, 500 keys, 500 tombstones a priority
--#include queue
--#include meta
local limit = tonumber(ARGV[2])
load_meta({ "pruned", "bytes", "tombs", "completedMs", "completedMax", "deadMs",
  "deadMax", "bytesMax", "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9" })
local completed_ms = math.max(tonumber(meta.completedMs) or {{completedMs}}, {{retentionMsMin}})
local dead_ms = math.max(tonumber(meta.deadMs) or {{deadMs}}, {{retentionMsMin}})
local completed_max = tonumber(meta.completedMax) or {{completedMax}}
local function count_of(name) return call("ZCARD", base .. ":" .. name) end
local lines = {
  { name = "completed", keep = completed_ms, over = count_of("completed") - completed_max },
  { name = "cancelled", keep = completed_ms, over = count_of("cancelled") - completed_max },
  { name = "dead", keep = dead_ms, over = count_of("dead") - (tonumber(meta.deadMax) or {{deadMax}}) },
}
local bytes_max = tonumber(meta.bytesMax) or {{bytesMax}}
local over_bytes = number("bytes") > bytes_max

-- By age and number; then, over the bound on bytes, the oldest of all three.
local gone = {}
for _, line in ipairs(lines) do
  line.members, line.next = call("ZRANGE", base .. ":" .. line.name, 0, limit - 1, "WITHSCORES"), 1
end
local function take(line)
  gone[#gone + 1] = line.members[line.next]
  line.last = line.next
  line.next = line.next + 2
end
for _, line in ipairs(lines) do
  while #gone < limit and line.members[line.next] do
    local age = now - line.members[line.next + 1]
    if age < {{retentionMsMin}} or (age < line.keep and line.over <= 0) then break end
    take(line)
    line.over = line.over - 1
  end
end
local function bytes_of(states, from, to)
  local bytes = 0
  for i = from, to do
    local payload, result = match(states[i], "^%u,%d,%d+,[^,]*,(%d+),%d+,%d+,%d+,%d,[%d.]+,%d+,%d+,(%d+)")
    bytes = bytes + payload + result
  end
  return bytes
end
local function states_of(members, from, step)
  local names = {}
  for i = from, #members, step do names[#names + 1] = string.sub(members[i], -16) .. "s" end
  return #names > 0 and call("HMGET", TASKS, unpack(names)) or {}
end
local freed = bytes_of(states_of(gone, 1, 1), 1, #gone)
if over_bytes and #gone < limit then
  for _, line in ipairs(lines) do
    line.from = line.next
    line.states = states_of(line.members, line.next, 2)
  end
  while number("bytes") - freed > bytes_max and #gone < limit do
    local oldest
    for _, line in ipairs(lines) do
      local at = tonumber(line.members[line.next + 1])
      if at and (not oldest or at < tonumber(oldest.members[oldest.next + 1])) then oldest = line end
    end
    if not oldest or now - oldest.members[oldest.next + 1] < {{retentionMsMin}} then break end
    local index = (oldest.next - oldest.from) / 2 + 1
    freed = freed + bytes_of(oldest.states, index, index)
    take(oldest)
  end
end
if #gone > 0 then
  local fields = {}
  for i = 1, #gone do
    local id = string.sub(gone[i], -16)
    fields[#fields + 1], fields[#fields + 2], fields[#fields + 3], fields[#fields + 4] = id, id .. "s", id .. "e", id .. "r"
  end
  call("HDEL", TASKS, unpack(fields))
  for _, line in ipairs(lines) do
    if line.next > 1 then
      call("ZREMRANGEBYRANK", base .. ":" .. line.name, 0, (line.next - 1) / 2 - 1)
    end
  end
  add("bytes", -freed)
  add("pruned", #gone)
end

-- Tombstones at the heads of the ready lists: cancelled tasks of a queue that nobody claims from.
if number("tombs") > 0 then
  for priority = 0, 9 do
    if meta["p" .. priority] then
      local elements = call("LRANGE", READY .. priority, 0, limit - 1)
      local names = {}
      for i = 1, #elements do
        local id = string.sub(elements[i], -16)
        names[2 * i - 1], names[2 * i] = id, id .. "s"
      end
      local found = #names > 0 and call("HMGET", TASKS, unpack(names)) or {}
      local dead_ones = 0
      for i = 1, #elements do
        local record, state = found[2 * i - 1], found[2 * i]
        local is_live = not state or match(state, "^R.*,(-?%d+)$") == match(elements[i], "^-?%d+")
        if record and is_live then break end
        dead_ones = i
      end
      if dead_ones > 0 then
        call("LTRIM", READY .. priority, dead_ones, -1)
        add("tombs", -dead_ones)
      end
    end
  end
end

local entries = call("LRANGE", base .. ":keyorder", 0, limit - 1)
local old, names = 0, {}
for i = 1, #entries do
  local until_ms, key = match(entries[i], "^(%d+) (.*)$")
  if tonumber(until_ms) > now then break end
  old = i
  names[i] = key
end
if old > 0 then
  local values, forget = call("HMGET", base .. ":keys", unpack(names)), {}
  for i = 1, old do
    -- The key may have come again since: then its entry is younger than this line.
    if values[i] and tonumber(match(values[i], "(%d+)$")) <= now then forget[#forget + 1] = names[i] end
  end
  if #forget > 0 then call("HDEL", base .. ":keys", unpack(forget)) end
  call("LTRIM", base .. ":keyorder", old, -1)
end
save_meta()
return { now, #gone }
