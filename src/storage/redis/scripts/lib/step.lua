-- What a step does to tasks, collected and written by one variadic call for each key; who includes it declares `fields`,
-- `fresh` (states by id) and `fresh_failures`, three empty tables.
local leases_gone = {}
local scheduled_gone, scheduled_new = {}, {}
local finished_gone = { C = {}, D = {}, X = {} }
local finished_new = { C = {}, D = {}, X = {} }
local tails, heads, ended, has_lasts = {}, {}, {}, false
local NAME = { S = "scheduled", R = "ready", L = "leased", C = "completed", D = "dead", X = "cancelled" }

local function put(field, value)
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end

local function put_state(id, state)
  fresh[id] = state
  put(id .. "s", state)
end

-- Letter; priority, maximum of attempts, backoff and bytes of the payload; then what changes.
local STATE = "^(%u),((%d),(%d+),([^,]*),(%d+)),(%d+),(%d+),(%d+),(%d),([%d.]+)(.*)$"

local function parse(id, text)
  local letter, head, priority, most, backoff, bytes, run_at, attempt, releases, failed, fence, rest =
    match(text, STATE)
  return {
    id = id, letter = letter, head = head, priority = priority, most = tonumber(most), backoff = backoff,
    bytes = tonumber(bytes), run_at = run_at, attempt = tonumber(attempt), releases = tonumber(releases),
    failed = failed, fence = fence, rest = rest,
  }
end

-- A task that nobody has claimed yet has no state: its record begins with what it would be. Where in its list
-- it stands is not known then, and not needed.
local function parse_record(id, record)
  return parse(id, "R," .. match(record, "^[^\n]*") .. ",0,0,0,0,")
end

local function state_text(task, letter, fence, rest)
  return letter .. "," .. task.head .. "," .. task.run_at .. "," .. task.attempt .. "," .. task.releases .. ","
    .. task.failed .. "," .. fence .. rest
end

local function fence_of(task) return match(task.fence, "^%d+") end

-- Takes a task out of where it is. A ready one leaves a tombstone in its list.
local function leave(task)
  local letter = task.letter
  if letter == "L" then leases_gone[#leases_gone + 1] = task.id
  elseif letter == "S" then
    scheduled_gone[#scheduled_gone + 1] = match(task.rest, "^,(%d+)") .. task.id
  elseif letter == "R" then add("tombs", 1)
  else
    local order, result_bytes = match(task.rest, "^,%d+,(%d+),(%d+)")
    finished_gone[letter][#finished_gone[letter] + 1] = order .. task.id
    add("bytes", -task.bytes - result_bytes)
  end
end

local order

local function next_order()
  order = (order or number("order")) + 1
  return format("%012d", order)
end

-- The numbers of a ready list grow by one from element to element; the last one given stands in `p<priority>`, read
-- when the first task of a step goes to a list.
local function last_of(priority)
  if not has_lasts then
    load_meta({ "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9" })
    has_lasts = true
  end
  return number("p" .. priority)
end

local function to_tail(task, run_at)
  local tail = last_of(task.priority) + 1
  set("p" .. task.priority, tail)
  local line = tails[task.priority] or {}
  tails[task.priority] = line
  line[#line + 1] = tail .. "," .. task.bytes .. "," .. task.id
  task.run_at = run_at
  put_state(task.id, state_text(task, "R", fence_of(task), "," .. tail))
end

local function to_head(task)
  local line = heads[task.priority] or {}
  heads[task.priority] = line
  line[#line + 1] = task
  -- Its seq is known when all releases of the step are: see flush.
  fresh[task.id] = state_text(task, "R", fence_of(task), ",0")
end

local function to_scheduled(task, run_at)
  local order = next_order()
  task.run_at = format("%d", run_at)
  scheduled_new[#scheduled_new + 1] = task.run_at
  scheduled_new[#scheduled_new + 1] = order .. task.id
  put_state(task.id, state_text(task, "S", fence_of(task), "," .. order))
  expect_due(run_at, true)
end

-- `fence` of a completed task is its whole token, so that the same completion sent again is known.
local function to_finished(task, letter, result_bytes, reason, fence)
  local order = next_order()
  local set_new = finished_new[letter]
  set_new[#set_new + 1] = now
  set_new[#set_new + 1] = order .. task.id
  add("bytes", task.bytes + result_bytes)
  put_state(task.id, state_text(task, letter, fence, "," .. now .. "," .. order .. "," .. result_bytes .. "," .. reason))
  ended[#ended + 1] = task.id .. letter
end

-- The attempt failed: the failure joins the last ten.
local function fail(task, errors, worker, text, has_text)
  local known = errors and cjson.decode(errors) or { f = {} }
  local short = text
  if #short > {{failureErrorBytesMax}} then
    local cut = {{failureErrorBytesMax}}
    while cut > 0 and math.floor(string.byte(short, cut + 1) / 64) == 2 do cut = cut - 1 end
    short = string.sub(short, 1, cut)
  end
  local failures = known.f
  failures[#failures + 1] = { a = task.attempt, t = now, w = worker ~= "" and worker or nil, e = short }
  while #failures > {{failuresMax}} do table.remove(failures, 1) end
  if has_text then known.l = text end
  task.failed = "1"
  local all = cjson.encode(known)
  fresh_failures[task.id] = all
  put(task.id .. "e", all)
end

-- Hands a leased task back, at most a hundred times for nothing. Returns the letter of where it goes.
local function release(task, undelivered)
  if undelivered then task.attempt = task.attempt - 1
  elseif task.releases < {{releasesMax}} then
    task.attempt = task.attempt - 1
    task.releases = task.releases + 1
  elseif task.attempt >= task.most then
    to_finished(task, "D", 0, "a", fence_of(task))
    return "D"
  end
  to_head(task)
  return "R"
end

local function variadic(command, key, args)
  if #args > 0 then call(command, key, unpack(args)) end
end

-- Writes all but the fields of tasks and the queue's numbers, which a claim in the same step still adds to.
local function flush_places()
  variadic("ZREM", LEASES, leases_gone)
  variadic("ZREM", SCHEDULED, scheduled_gone)
  variadic("ZADD", SCHEDULED, scheduled_new)
  for letter, members in pairs(finished_gone) do variadic("ZREM", base .. ":" .. NAME[letter], members) end
  for letter, members in pairs(finished_new) do variadic("ZADD", base .. ":" .. NAME[letter], members) end
  for priority, line in pairs(tails) do call("RPUSH", READY .. priority, unpack(line)) end
  for priority, line in pairs(heads) do
    local first = call("LINDEX", READY .. priority, 0)
    local head = first and tonumber(match(first, "^-?%d+")) or last_of(priority) + 1
    local elements = {}
    for i = #line, 1, -1 do
      local task = line[i]
      head = head - 1
      elements[#elements + 1] = head .. "," .. task.bytes .. "," .. task.id
      put_state(task.id, state_text(task, "R", fence_of(task), "," .. head))
    end
    call("LPUSH", READY .. priority, unpack(elements))
  end
  if order then set("order", order) end
end

local function flush_tasks() variadic("HSET", TASKS, fields) end

-- Tells the ends that somebody in any process waits for.
local function tell_ended()
  local channel = meta.awaited
  if #ended == 0 or not channel or channel == "" then return end
  local ids = {}
  for i = 1, #ended do ids[i] = string.sub(ended[i], 1, 16) end
  local awaited = call("SMISMEMBER", base .. ":awaited", unpack(ids))
  local told, heard = {}, {}
  for i = 1, #ended do
    if awaited[i] == 1 then
      told[#told + 1] = ids[i]
      heard[#heard + 1] = ended[i]
    end
  end
  if #told == 0 then return end
  call("SREM", base .. ":awaited", unpack(told))
  if call("SCARD", base .. ":awaited") == 0 then set("awaited", "") end
  call("PUBLISH", channel, match(base, "{(.*)}$") .. " " .. table.concat(heard, " "))
end

-- Brings `due` back to the truth. Only promote and reap do it, after what was due has moved.
local function settle_due()
  local first = call("ZRANGE", SCHEDULED, 0, 0, "WITHSCORES")
  local lease = call("ZRANGE", LEASES, 0, 0, "WITHSCORES")
  local at = tonumber(first[2])
  if lease[2] and (not at or tonumber(lease[2]) < at) then at = tonumber(lease[2]) end
  local name = match(base, "{(.*)}$")
  if at then
    if at ~= tonumber(meta.due) then
      set("due", at)
      call("ZADD", due_key(), at, name)
    end
  elseif meta.due and meta.due ~= "" then
    set("due", "")
    call("ZREM", due_key(), name)
  end
end
