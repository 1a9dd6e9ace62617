-- Removes tasks of a state, in the order of a listing, whatever the retention.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 state, 3 limit
-- Reply now, number of tasks removed, 1 when more are there
-- Cost  TIME, HMGET, HDEL, HSET; ready: one LMPOP, LLEN for each priority, HMGET; else ZRANGE, HMGET, ZREMRANGEBYRANK, ZCARD
-- Bound 250 tasks, 500 tombstones
--#include queue
--#include meta
local state, limit = ARGV[2], tonumber(ARGV[3])
load_meta({ "priorities", "pruned", "bytes", "tombs" })
local ids, freed = {}, 0
if state == "ready" then
  local top = 9
  local wanted = limit + math.min(number("tombs"), {{stepMax}})
  local popped, from_priority = {}, {}
  while #popped < wanted and top >= 0 do
    local args = { top + 1 }
    for priority = top, 0, -1 do args[#args + 1] = READY .. priority end
    args[#args + 1], args[#args + 2], args[#args + 3] = "LEFT", "COUNT", wanted - #popped
    local reply = call("LMPOP", unpack(args))
    if not reply then break end
    top = tonumber(string.sub(reply[1], -1)) - 1
    for i = 1, #reply[2] do
      popped[#popped + 1] = reply[2][i]
      from_priority[#popped] = top + 1
    end
  end
  local names = {}
  for i = 1, #popped do
    local id = string.sub(popped[i], -16)
    names[2 * i - 1], names[2 * i] = id, id .. "s"
  end
  local found = #names > 0 and call("HMGET", TASKS, unpack(names)) or {}
  local back = {}
  for i = 1, #popped do
    -- A tombstone: the task is elsewhere, or gone since.
    local record, state = found[2 * i - 1], found[2 * i]
    local is_live = record and (not state or match(state, "^R.*,(-?%d+)$") == match(popped[i], "^-?%d+"))
    if not is_live then add("tombs", -1)
    elseif #ids < limit then ids[#ids + 1] = string.sub(popped[i], -16)
    else back[#back + 1] = i end
  end
  local lines = {}
  for i = #back, 1, -1 do
    local priority = from_priority[back[i]]
    lines[priority] = lines[priority] or {}
    lines[priority][#lines[priority] + 1] = popped[back[i]]
  end
  for priority, line in pairs(lines) do call("LPUSH", READY .. priority, unpack(line)) end
else
  local members = call("ZRANGE", base .. ":" .. state, 0, limit - 1)
  local names = {}
  for i = 1, #members do
    ids[i] = string.sub(members[i], -16)
    names[i] = ids[i] .. "s"
  end
  if #ids > 0 then
    if state ~= "scheduled" then
      local states = call("HMGET", TASKS, unpack(names))
      for i = 1, #ids do
        local payload, result = match(states[i], "^%u,%d,%d+,[^,]*,(%d+),%d+,%d+,%d+,%d,[%d.]+,%d+,%d+,(%d+)")
        freed = freed + payload + result
      end
    end
    call("ZREMRANGEBYRANK", base .. ":" .. state, 0, #ids - 1)
  end
end
if #ids > 0 then
  local fields = {}
  for i = 1, #ids do
    local id = ids[i]
    fields[#fields + 1], fields[#fields + 2], fields[#fields + 3], fields[#fields + 4] = id, id .. "s", id .. "e", id .. "r"
  end
  call("HDEL", TASKS, unpack(fields))
  add("bytes", -freed)
  add("pruned", #ids)
end
save_meta()
local left = state == "ready" and count_ready(1) or call("ZCARD", base .. ":" .. state)
return { now, #ids, left > 0 and 1 or 0 }
