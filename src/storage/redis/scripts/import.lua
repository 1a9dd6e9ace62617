-- Takes over tasks and keys from another store; what is there already stays as it is.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 total of removed tasks or "", 3 number of tasks, then for each task: id, record, state up
--       to its place in its state ("" for a ready task without a past), state from there on, failures, result,
--       score in its state; then for each key: key, id, hash, end of its day
-- Reply now, number of tasks added, nothing, 1 when this made the queue
-- Cost  TIME, HMGET, HMGET, HSET, HSET, one RPUSH for each priority, one ZADD for each other state, one for due;
--       with keys HMGET, HSET, RPUSH more
-- Bound 500 tasks and keys
--#include queue
--#include meta
local count = tonumber(ARGV[3])
load_meta({ "v", "enqueued", "pruned", "order", "bytes", "due", "priorities",
  "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9" })

local ids = {}
for i = 1, count do ids[i] = ARGV[7 * i - 3] end
local there = count > 0 and call("HMGET", TASKS, unpack(ids)) or {}

local NAMES = { S = "scheduled", R = "ready", L = "leased", C = "completed", D = "dead", X = "cancelled" }
local seen, fields, lines, places = {}, {}, {}, {}
local added, soonest = 0, nil

local function put(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end

local function to_tail(priority, bytes, mark, id)
  local line = lines[priority]
  if not line then
    line = { last = number("p" .. priority) }
    lines[priority] = line
  end
  line.last = line.last + 1
  line[#line + 1] = line.last .. "," .. bytes .. mark .. id
  return line.last
end

local function to_place(name, score, member)
  local members = places[name] or {}
  places[name] = members
  members[#members + 1] = score
  members[#members + 1] = member
end

local function take(at)
  local id, record, state, rest = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local failures, result, score = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local priority, bytes = match(record, "^(%d),%d+,[^,]*,(%d+),")
  local letter = state == "" and "R" or string.sub(state, 1, 1)
  use_priority(priority)
  put(id, record)
  if failures ~= "" then put(id .. "e", failures) end
  if letter == "R" then
    local seq = to_tail(priority, bytes, state == "" and ":" or ",", id)
    if state ~= "" then put(id .. "s", state .. "," .. seq) end
  elseif letter == "L" then
    to_place("leases", score, id)
    put(id .. "s", state .. rest)
  else
    add("order", 1)
    local order = format("%012d", meta.order)
    to_place(NAMES[letter], score, order .. id)
    put(id .. "s", state .. "," .. order .. rest)
    if letter ~= "S" then add("bytes", bytes + #result) end
    -- The size of a result says whether there is one: JSON is never empty.
    if result ~= "" then put(id .. "r", result) end
  end
  if letter == "L" or letter == "S" then soonest = math.min(soonest or score, score) end
  added = added + 1
end

for i = 1, count do
  if not there[i] and not seen[ids[i]] then
    seen[ids[i]] = true
    take(7 * i - 3)
  end
end

local new_keys, key_order = {}, {}
local first_key = 4 + 7 * count
if ARGV[first_key] then
  local names = {}
  for at = first_key, #ARGV, 4 do names[#names + 1] = ARGV[at] end
  local known = call("HMGET", base .. ":keys", unpack(names))
  for i = 1, #names do
    local at = first_key + 4 * (i - 1)
    local id, _, until_ms = match(known[i] or "", "^(%S+) (%S+) (%d+)$")
    if not id or (id ~= ARGV[at + 1] and tonumber(until_ms) < tonumber(ARGV[at + 3])) then
      new_keys[#new_keys + 1] = ARGV[at]
      new_keys[#new_keys + 1] = ARGV[at + 1] .. " " .. ARGV[at + 2] .. " " .. ARGV[at + 3]
      key_order[#key_order + 1] = ARGV[at + 3] .. " " .. ARGV[at]
    end
  end
end

if #fields > 0 then call("HSET", TASKS, unpack(fields)) end
for priority, line in pairs(lines) do
  call("RPUSH", READY .. priority, unpack(line))
  set("p" .. priority, line.last)
end
for name, members in pairs(places) do call("ZADD", base .. ":" .. name, unpack(members)) end
if #new_keys > 0 then
  call("HSET", base .. ":keys", unpack(new_keys))
  call("RPUSH", base .. ":keyorder", unpack(key_order))
end
add("enqueued", added)
if ARGV[2] ~= "" then
  add("enqueued", ARGV[2] - number("pruned"))
  set("pruned", ARGV[2])
end
local made = meta.v == nil
if made then set("v", "{{format}}") end
if soonest then expect_due(tonumber(soonest), true) end
save_meta()
return { now, added, "", made and 1 or 0 }
