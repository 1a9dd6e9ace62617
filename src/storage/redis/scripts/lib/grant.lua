-- Leases ready tasks to the asks that begin at ARGV[from]: runs of equal asks, five values each: how many,
-- `max`, lease or "", bytes or "", worker. Returns the number for each ask and, task by task, id, record,
-- state and failures.
local function grant(from, nonce, self)
  local counts, items = {}, {}
  local asked, wanted = 0, 0
  for at = from, #ARGV, 5 do
    asked = asked + ARGV[at]
    wanted = wanted + ARGV[at] * ARGV[at + 1]
  end
  local ready, tombs = number("ready"), number("tombs")
  if meta.paused == "1" or ready == 0 or wanted == 0 then
    for i = 1, asked do counts[i] = 0 end
    if self ~= "" and wanted > 0 then wait_for_ready(self) end
    return counts, items, meta.paused ~= "1" and ready > 0
  end

  -- Pop: one call for each priority touched.
  local popped, from_priority, top = {}, {}, 9
  local most = math.min(wanted, ready) + math.min(tombs, {{batchMax}})
  while #popped < most and top >= 0 do
    local args = { top + 1 }
    for priority = top, 0, -1 do args[#args + 1] = READY .. priority end
    args[#args + 1] = "LEFT"
    args[#args + 1] = "COUNT"
    args[#args + 1] = most - #popped
    local reply = call("LMPOP", unpack(args))
    if not reply then break end
    local priority = tonumber(string.sub(reply[1], -1))
    local elements = reply[2]
    for i = 1, #elements do
      popped[#popped + 1] = elements[i]
      from_priority[#popped] = priority
    end
    local seq = match(elements[#elements], "^-?%d+")
    local _, tail = match(meta["p" .. priority] or "1,0", "^(-?%d+),(-?%d+)$")
    set("p" .. priority, (seq + 1) .. "," .. tail)
    top = priority - 1
  end

  -- An element whose seq is not that of the task's state is a tombstone.
  if tombs > 0 then
    local names = {}
    for i = 1, #popped do names[i] = string.sub(popped[i], -16) .. "s" end
    local states = call("HMGET", TASKS, unpack(names))
    local kept, kept_from = {}, {}
    for i = 1, #popped do
      local id = string.sub(popped[i], -16)
      local state = fresh[id] or states[i]
      if not state or match(state, "^R.*,(-?%d+)$") == match(popped[i], "^-?%d+") then
        kept[#kept + 1] = popped[i]
        kept_from[#kept] = from_priority[i]
      else
        tombs = tombs - 1
      end
    end
    popped, from_priority = kept, kept_from
  end

  -- Deal: each ask up to its number and its bytes, all of them up to 16 MiB.
  local next_one, total = 1, 0
  local ids, owner = {}, {}
  local runs = {}
  for at = from, #ARGV, 5 do
    local lease = tonumber(ARGV[at + 2]) or tonumber(meta.leaseMs) or {{leaseMs}}
    runs[#runs + 1] = { lease = lease, worker = ARGV[at + 4] }
    local max, limit = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 3]) or {{bodyBytesMax}}
    for _ = 1, tonumber(ARGV[at]) do
      local count, bytes = 0, 0
      while count < max and popped[next_one] do
        local size = tonumber(match(popped[next_one], ",(%d+),"))
        if (count > 0 and bytes + size > limit) or (total > 0 and total + size > {{bodyBytesMax}}) then break end
        bytes, total = bytes + size, total + size
        ids[#ids + 1] = string.sub(popped[next_one], -16)
        owner[#ids] = runs[#runs]
        count, next_one = count + 1, next_one + 1
      end
      counts[#counts + 1] = count
    end
  end

  -- What was popped and not dealt goes back to the head, as it was.
  local back = {}
  for i = #popped, next_one, -1 do
    local priority = from_priority[i]
    back[priority] = back[priority] or {}
    back[priority][#back[priority] + 1] = popped[i]
  end
  for priority, line in pairs(back) do
    call("LPUSH", READY .. priority, unpack(line))
    local _, tail = ends_of(priority)
    set("p" .. priority, match(line[#line], "^-?%d+") .. "," .. tail)
  end

  local names = {}
  for i = 1, #ids do
    names[2 * i - 1] = ids[i]
    names[2 * i] = ids[i] .. "s"
  end
  local found = #ids > 0 and call("HMGET", TASKS, unpack(names)) or {}
  local failed, failed_at, leased, soonest = {}, {}, 0, nil
  local lost = 0
  for i = 1, #ids do
    local id, record = ids[i], found[2 * i - 1]
    local state = fresh[id] or found[2 * i]
    local run = owner[i]
    if not record then
      -- Cancelled and pruned since: a tombstone whose task is gone. Its place in the answer stays empty.
      lost, tombs = lost + 1, tombs - 1
      items[#items + 1] = id
      items[#items + 1] = ""
      items[#items + 1] = ""
      items[#items + 1] = ""
    else
      local rest = "," .. now .. "," .. run.lease .. "," .. run.worker
      local leased_state
      if state then
        local head, attempt, releases, has_failed, fence =
          match(state, "^R,(%d,%d+,[^,]*,%d+,%d+),(%d+),(%d+),(%d),(%d+)")
        local token = format("%.0f.%s", math.max(fence + 1, micros + leased), nonce)
        leased_state = "L," .. head .. "," .. (attempt + 1) .. "," .. releases .. "," .. has_failed .. "," .. token .. rest
        if has_failed == "1" then
          failed[#failed + 1] = id .. "e"
          failed_at[#failed] = #items + 4
        end
      else
        leased_state = "L," .. string.sub(record, 1, string.find(record, "\n", 1, true) - 1) .. ",1,0,0,"
          .. format("%.0f.%s", micros + leased, nonce) .. rest
      end
      put_state(id, leased_state)
      leases_new[#leases_new + 1] = now + run.lease
      leases_new[#leases_new + 1] = id
      if not soonest or run.lease < soonest then soonest = run.lease end
      leased = leased + 1
      items[#items + 1] = id
      items[#items + 1] = record
      items[#items + 1] = leased_state
      items[#items + 1] = ""
    end
  end
  if #failed > 0 then
    local texts = call("HMGET", TASKS, unpack(failed))
    for i = 1, #failed do items[failed_at[i]] = fresh_failures[string.sub(failed[i], 1, 16)] or texts[i] or "" end
  end
  add("ready", -leased)
  add("leased", leased)
  if tombs ~= number("tombs") then set("tombs", tombs) end
  if soonest then expect_due(now + soonest, false) end
  local more = number("ready") > 0
  if more then wake(self, true)
  elseif self ~= "" and leased < wanted then wait_for_ready(self) end
  return counts, items, more
end
