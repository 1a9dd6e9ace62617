-- Adds tasks: ready at the tail of their priority, scheduled when their time has not come, or found by id or key.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", then for each task: id,
--       spec, body. The body is what never changes and no script reads: tags and key, a new line, the payload.
--       spec: bytes of the payload, or these with commas: bytes, priority, d delay or a runAt, maxAttempts, backoff's
--       type, base, cap, jitter, hash of the payload, key; each may be empty
-- Reply now, maxAttempts of the queue, 1 when the caller is the one to wake, 1 when this made the queue, then for
--       each task: 1 when it was added, else an outcome with the task found: kind, record, state, failures, result,
--       end of lease | kind, id | "same", kind, index | "full", depth, limit
-- Cost  TIME, HMGET, HMGET, HSET, HSET and one RPUSH for each priority; with keys HMGET, HSET, RPUSH more; with tasks
--       that are found HMGET, ZMSCORE; with scheduled ones ZADD; with a new due time ZADD, PUBLISH; with a wake PUBLISH;
--       with a bound on the depth two ZCARD and one LLEN for each priority
-- Bound 1,000 tasks
--#include queue

-- One plain task of priority 0, which the queue has had before, and nobody to wake but the caller: by far the most common
-- enqueue when latency counts. Straight through, without the general path's functions and tables.
if not ARGV[6] and not string.find(ARGV[4], ",", 1, true) then
  local queue = call("HMGET", META, "v", "priorities", "p0", "enqueued", "maxDepth", "maxAttempts", "backoff",
    "waiting", "paused")
  local waiting = queue[8] or ""
  if queue[1] and queue[3] and string.find(queue[2] or "", "0", 1, true) and (queue[5] or "") == ""
    and (waiting == "" or waiting == ARGV[2] .. " ") then
    local id, bytes, most = ARGV[3], ARGV[4], queue[6] or "{{maxAttempts}}"
    local record = "0," .. most .. "," .. (queue[7] or "{{backoff}}") .. "," .. bytes .. "," .. now .. "\n" .. ARGV[5]
    -- Who is there already is found by the general path: nothing has changed yet.
    if call("HSETNX", TASKS, id, record) == 1 then
      local seq = format("%d", queue[3] + 1)
      call("RPUSH", READY .. "0", seq .. "," .. bytes .. ":" .. id)
      local woken = waiting ~= "" and queue[9] ~= "1"
      call("HSET", META, "p0", seq, "enqueued", format("%d", (queue[4] or 0) + 1), "waiting",
        woken and "" or waiting)
      return { now, tonumber(most), woken and 1 or 0, 0, { 1 } }
    end
  end
end

--#include meta
local self = ARGV[2]
local tasks, ids, keys, priorities = {}, {}, {}, {}
local SPEC = "^(%d+),(%d*),([ad]?%d*),(%d*),(%a?),(%d*),(%d*),(%a?),(%x*),(.*)$"
for at = 3, #ARGV, 3 do
  local spec = ARGV[at + 1]
  local task
  if not string.find(spec, ",", 1, true) then task = { priority = "0", bytes = spec }
  else
    local bytes, priority, when, most, type, first, cap, jitter, hash, key = match(spec, SPEC)
    task = { bytes = bytes, priority = priority == "" and "0" or priority, when = when, most = most, type = type,
      first = first, cap = cap, jitter = jitter, hash = hash, key = key ~= "" and key or nil }
    if task.key then keys[#keys + 1] = task.key end
  end
  priorities[task.priority] = true
  task.id, task.body = ARGV[at], ARGV[at + 2]
  ids[#ids + 1] = task.id
  tasks[#tasks + 1] = task
end

local names = { "v", "maxAttempts", "backoff", "maxDepth", "enqueued", "order", "due", "waiting", "paused",
  "priorities", "tombs" }
for priority in pairs(priorities) do names[#names + 1] = "p" .. priority end
load_meta(names)
local most = meta.maxAttempts or "{{maxAttempts}}"
local backoff = meta.backoff or "{{backoff}}"
local limit = tonumber(meta.maxDepth)
local there = call("HMGET", TASKS, unpack(ids))
local known = {}
if #keys > 0 then
  local entries = call("HMGET", base .. ":keys", unpack(keys))
  for i = 1, #keys do known[keys[i]] = entries[i] or nil end
end

for priority in pairs(priorities) do use_priority(priority) end

local outcomes, fields, scheduled, lines, new_keys, key_order = {}, {}, {}, {}, {}, {}
local found, found_at = {}, {}
local added_ids, added_keys = {}, {}
local soonest
local depth = limit and call("ZCARD", SCHEDULED) + count_ready(math.huge) + call("ZCARD", LEASES) or 0

local function find(i, kind, id)
  found[#found + 1] = id
  found_at[#found] = i
  outcomes[i] = { kind }
end

local function seen(i, task)
  if added_ids[task.id] then
    outcomes[i] = { "same", "enqueued", added_ids[task.id] }
    return true
  elseif there[i] then
    find(i, "enqueued", task.id)
    return true
  elseif task.key then
    local mine = added_keys[task.key]
    if mine then
      outcomes[i] = tasks[mine].hash == task.hash and { "same", "deduplicated", mine }
        or { "conflict", tasks[mine].id }
      return true
    end
    local id, hash, until_ms = match(known[task.key] or "", "^(%S+) (%S+) (%d+)$")
    if id and tonumber(until_ms) > now then
      if hash == task.hash then find(i, "deduplicated", id) else outcomes[i] = { "conflict", id } end
      return true
    end
  end
  if limit and depth >= limit then
    outcomes[i] = { "full", depth, limit }
    return true
  end
  return false
end

local function backoff_of(task)
  if not task.type or (task.type == "" and task.first == "" and task.cap == "" and task.jitter == "") then
    return backoff
  end
  local type, first, cap, jitter = match(backoff, "^(%a)(%d+):(%d+)(%a)$")
  local function own(value, default) return value ~= "" and value or default end
  return own(task.type, type) .. own(task.first, first) .. ":" .. own(task.cap, cap) .. own(task.jitter, jitter)
end

for i = 1, #tasks do
  local task = tasks[i]
  if not seen(i, task) then
    local head = task.priority .. "," .. ((task.most or "") ~= "" and task.most or most) .. "," .. backoff_of(task)
      .. "," .. task.bytes .. ","
    local run_at = now
    if task.when and task.when ~= "" then
      local value = tonumber(string.sub(task.when, 2))
      run_at = math.max(now, string.sub(task.when, 1, 1) == "d" and now + value or value)
    end
    fields[#fields + 1] = task.id
    fields[#fields + 1] = head .. now .. "\n" .. task.body
    if run_at > now then
      local order = number("order") + 1
      set("order", order)
      local member = format("%012d", order)
      scheduled[#scheduled + 1] = format("%d", run_at)
      scheduled[#scheduled + 1] = member .. task.id
      fields[#fields + 1] = task.id .. "s"
      fields[#fields + 1] = "S," .. head .. format("%d", run_at) .. ",0,0,0,0," .. member
      if not soonest or run_at < soonest then soonest = run_at end
    else
      local line = lines[task.priority]
      if not line then
        line = { last = number("p" .. task.priority) }
        lines[task.priority] = line
      end
      line.last = line.last + 1
      line[#line + 1] = line.last .. "," .. task.bytes .. ":" .. task.id
    end
    if task.key then
      local until_ms = now + {{idempotencyKeyMs}}
      new_keys[#new_keys + 1] = task.key
      new_keys[#new_keys + 1] = task.id .. " " .. task.hash .. " " .. until_ms
      key_order[#key_order + 1] = until_ms .. " " .. task.key
      added_keys[task.key] = i
    end
    added_ids[task.id] = i
    depth = depth + 1
    outcomes[i] = 1
  end
end

-- Found by id or key: as it is now, or only its id when it is gone.
if #found > 0 then
  local parts = {}
  for i = 1, #found do
    local id = found[i]
    parts[#parts + 1], parts[#parts + 2], parts[#parts + 3], parts[#parts + 4] = id, id .. "s", id .. "e", id .. "r"
  end
  local values = call("HMGET", TASKS, unpack(parts))
  local ends = call("ZMSCORE", LEASES, unpack(found))
  for i = 1, #found do
    local outcome, at = outcomes[found_at[i]], 4 * i - 3
    if values[at] then
      outcomes[found_at[i]] = { outcome[1], found[i], values[at], values[at + 1] or "", values[at + 2] or "",
        values[at + 3], ends[i] or "" }
    else
      outcomes[found_at[i]] = { "pruned", found[i] }
    end
  end
end

local readied, added = 0, 0
for i = 1, #outcomes do if outcomes[i] == 1 then added = added + 1 end end
if #fields > 0 then call("HSET", TASKS, unpack(fields)) end
for priority, line in pairs(lines) do
  call("RPUSH", READY .. priority, unpack(line))
  set("p" .. priority, line.last)
  readied = readied + #line
end
if #scheduled > 0 then call("ZADD", SCHEDULED, unpack(scheduled)) end
if #new_keys > 0 then
  call("HSET", base .. ":keys", unpack(new_keys))
  call("RPUSH", base .. ":keyorder", unpack(key_order))
end
add("enqueued", added)
local made = meta.v == nil and added > 0
if made then set("v", "{{format}}") end
if soonest then expect_due(soonest, true) end
local woken = 0
if readied > 0 and meta.paused ~= "1" then woken = wake(self, false) end
save_meta()
return { now, tonumber(most), woken, made and 1 or 0, outcomes }
