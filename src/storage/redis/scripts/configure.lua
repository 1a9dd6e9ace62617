-- Changes a queue's configuration, pauses and resumes it; with no change, reads it.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 1 to make the queue, then fields
--       and values of the queue's hash; an empty value removes the field; a backoff is type,base,cap,jitter, of which
--       empty ones stay
-- Reply now, nothing, 1 when the caller is the one to wake, 1 when this made the queue, all fields of its hash and the
--       number of tasks in each state, then run times
--       of the first ready task of each priority
-- Cost  TIME, HGETALL, HDEL, HSET, five ZCARD, and two LLEN, LRANGE, HMGET, HGET for each priority; a wake more
-- Bound ten priorities, one hundred tombstones each
--#include queue
--#include meta
local self = ARGV[2]
local all = call("HGETALL", META)
for i = 1, #all, 2 do meta[all[i]] = all[i + 1] end
local made, woken = false, 0
if ARGV[3] == "1" then
  made = meta.v == nil
  if made then set("v", "{{format}}") end
  local was_paused = meta.paused == "1"
  local removed = {}
  for i = 4, #ARGV, 2 do
    if ARGV[i + 1] == "" then
      removed[#removed + 1] = ARGV[i]
      meta[ARGV[i]] = nil
    elseif ARGV[i] == "backoff" then
      local parts = { match(ARGV[i + 1], "^(%a?),(%d*),(%d*),(%a?)$") }
      local known = { match(meta.backoff or "{{backoff}}", "^(%a)(%d+):(%d+)(%a)$") }
      for part = 1, 4 do if parts[part] == "" then parts[part] = known[part] end end
      set("backoff", parts[1] .. parts[2] .. ":" .. parts[3] .. parts[4])
    else
      set(ARGV[i], ARGV[i + 1])
    end
  end
  if #removed > 0 then call("HDEL", META, unpack(removed)) end
  if was_paused and meta.paused ~= "1" and count_ready(1) > 0 then woken = wake(self, false) end
  save_meta()
end

local oldest = {}
local ready = count_ready(math.huge)
if ready > 0 then
  local many = math.min(number("tombs"), 100)
  for priority in string.gmatch(meta.priorities or "", "%d") do
    local elements = call("LRANGE", READY .. priority, 0, many)
    local names = {}
    for i = 1, #elements do names[i] = string.sub(elements[i], -16) .. "s" end
    local states = #names > 0 and call("HMGET", TASKS, unpack(names)) or {}
    for i = 1, #elements do
      local state = states[i]
      if not state then
        local record = call("HGET", TASKS, string.sub(elements[i], -16))
        if record then
          oldest[#oldest + 1] = match(record, "^%d,%d+,[^,]*,%d+,(%d+)")
          break
        end
      elseif match(state, "^R.*,(-?%d+)$") == match(elements[i], "^-?%d+") then
        oldest[#oldest + 1] = match(state, "^R,%d,%d+,[^,]*,%d+,(%d+)")
        break
      end
    end
  end
end
local fields = {}
for name, value in pairs(meta) do
  fields[#fields + 1] = name
  fields[#fields + 1] = tostring(value)
end
for state, count in pairs({ ready = ready, scheduled = call("ZCARD", SCHEDULED), leased = call("ZCARD", LEASES),
  completed = call("ZCARD", base .. ":completed"), dead = call("ZCARD", base .. ":dead"),
  cancelled = call("ZCARD", base .. ":cancelled") }) do
  fields[#fields + 1] = state
  fields[#fields + 1] = tostring(count)
end
return { now, "", woken, made and 1 or 0, fields, oldest }
