-- The queue's own numbers: read by one HMGET, written by one HSET.
local meta, dirty = {}, {}

local function load_meta(names)
  local values = call("HMGET", META, unpack(names))
  for i = 1, #names do meta[names[i]] = values[i] or nil end
end

local function number(name) return tonumber(meta[name]) or 0 end

local function set(name, value)
  meta[name] = value
  dirty[name] = true
end

local function add(name, by)
  if by ~= 0 then set(name, number(name) + by) end
end

local function save_meta()
  local args = {}
  for name in pairs(dirty) do
    local value, n = meta[name], #args
    -- As text: Redis itself would write a number with 17 digits.
    args[n + 1], args[n + 2] = name, type(value) == "number" and format("%d", value) or value
  end
  if #args > 0 then call("HSET", META, unpack(args)) end
end

-- Every priority that was ever used, the most urgent first: a claim looks only at these.
local function use_priority(priority)
  local used = meta.priorities or ""
  if string.find(used, priority, 1, true) then return end
  local higher = match(used, "^[" .. priority .. "-9]*")
  set("priorities", higher .. priority .. string.sub(used, #higher + 1))
end

-- In a cluster each queue has a sorted set of its own, in its slot; else one serves all queues.
local function due_key() return KEYS[2] or match(base, "^(.*):{") .. ":due" end

-- The next thing due in the queue; never later than the truth, raised again by promote and reap.
local function expect_due(at, announce)
  local known = tonumber(meta.due)
  if known and known <= at then return end
  set("due", at)
  local name = match(base, "{(.*)}$")
  call("ZADD", due_key(), at, name)
  if announce then call("PUBLISH", match(base, "^(.*):{") .. ":due", at .. " " .. name) end
end

-- Brokers that wait for this queue stand in `waiting`, by their channels. Wakes one: the caller itself without
-- a message when it is among them (returns 1), else the first that hears, of at most eight: who was killed is still
-- there. In a cluster, where a reply counts only the receivers at this node, the first two are told.
local function wake(self, other)
  local waiting = meta.waiting
  if not waiting or waiting == "" then return 0 end
  if self ~= "" then
    local from, to = string.find(waiting, self .. " ", 1, true)
    if from then
      local rest = string.sub(waiting, 1, from - 1) .. string.sub(waiting, to + 1)
      if not other then
        set("waiting", rest)
        return 1
      end
      waiting = rest
    end
  end
  local kept = waiting ~= meta.waiting
  local clustered = KEYS[2] ~= nil
  for _ = 1, clustered and 2 or 8 do
    local first, rest = match(waiting, "^(%S+) (.*)$")
    if not first then break end
    waiting = rest
    local heard = call("PUBLISH", first, "ready " .. match(base, "{(.*)}$"))
    if heard > 0 and not clustered then break end
  end
  set("waiting", kept and (waiting .. self .. " ") or waiting)
  return 0
end

-- How many tasks are ready, or at least `enough`: the lists say so, tombstones left out.
local function count_ready(enough)
  local tombs, count = number("tombs"), 0
  for priority in string.gmatch(meta.priorities or "", "%d") do
    count = count + call("LLEN", READY .. priority)
    if count - tombs >= enough then break end
  end
  return count - tombs
end

local function wait_for_ready(self)
  local waiting = meta.waiting or ""
  if not string.find(waiting, self .. " ", 1, true) then set("waiting", waiting .. self .. " ") end
end
