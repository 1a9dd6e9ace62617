-- Leases ready tasks to the asks that begin at ARGV[first_ask]: runs of equal asks, each one text: how many, `max`,
-- lease or nothing, bytes or nothing, worker, with commas between. Appends to `reply`, flat, for each table within it
-- costs Redis a microsecond: fence, lease, the number for each ask, id and record of each task, and place, state and
-- failures of each that has a past. Reads `priorities`, `paused`, `tombs` and `lease_default` of the queue, and leaves what
-- lib/granted.lua needs: `more` is 1 when more is ready, `soonest` the first end of a lease, `unmet` whether more was asked
-- for than was there. Used once in a script, on its claim path, so it is no function and spares what it can.
local last = #reply + 2
reply[last - 1], reply[last] = micros, lease_default
local leases_new, more, soonest, unmet = {}, 0, nil, false
do
  local wanted, asked, runs = 0, 0, {}
  for at = first_ask, #ARGV do
    local many, max, lease, limit, worker = match(ARGV[at], "^(%d+),(%d+),(%d*),(%d*),(.*)$")
    runs[#runs + 1] = { many = many, max = tonumber(max), lease = lease, limit = limit, worker = worker }
    asked = asked + many
    wanted = wanted + many * max
  end
  if paused or wanted == 0 then
    for i = 1, asked do reply[last + i] = 0 end
    unmet = wanted > 0
    if not paused then more = 2 end
  else
    local most = tombs == 0 and wanted or wanted + math.min(tombs, {{batchMax}})

    -- Pop: one call for each priority touched.
    local popped, from = nil, nil
    if #priorities == 1 then popped = call("LPOP", READY .. priorities, most) or {}
    else
      popped, from = {}, {}
      local top = 1
      while #popped < most and top <= #priorities do
        local args = { #priorities - top + 1 }
        for i = top, #priorities do args[#args + 1] = READY .. string.sub(priorities, i, i) end
        local n = #args
        args[n + 1], args[n + 2], args[n + 3] = "LEFT", "COUNT", most - #popped
        local reply = call("LMPOP", unpack(args))
        if not reply then break end
        local priority, elements = string.sub(reply[1], -1), reply[2]
        for i = 1, #elements do
          popped[#popped + 1] = elements[i]
          from[#popped] = priority
        end
        top = string.find(priorities, priority, 1, true) + 1
      end
    end

    -- Fewer than asked for were all that there were.
    if #popped == most then more = 2 end

    -- An element whose seq is not that of the task's state is a tombstone.
    if tombs > 0 then
      local names, kept, kept_from = {}, {}, from and {}
      for i = 1, #popped do
        local id = string.sub(popped[i], -16)
        names[2 * i - 1], names[2 * i] = id, id .. "s"
      end
      local found = call("HMGET", TASKS, unpack(names))
      for i = 1, #popped do
        local state = fresh[string.sub(popped[i], -16)] or found[2 * i]
        local is_live = not state or match(state, "^R.*,(-?%d+)$") == match(popped[i], "^-?%d+")
        if found[2 * i - 1] and is_live then
          kept[#kept + 1] = popped[i]
          if from then kept_from[#kept] = from[i] end
        else
          tombs = tombs - 1
        end
      end
      popped, from = kept, kept_from
    end

    -- Deal: each ask up to its number and its bytes, all of them up to 16 MiB.
    local n, total = 0, 0
    local names, rests, ends, moved = {}, {}, {}, {}
    for at = 1, #runs do
      local run = runs[at]
      local lease, max = run.lease ~= "" and run.lease or lease_default, run.max
      local limit = tonumber(run.limit) or {{bodyBytesMax}}
      local finish = now + lease
      -- As text: Redis writes a number that it is given with 17 digits, anew for every task.
      local rest, finish_text = ARGV[3] .. "," .. format("%d", now) .. "," .. lease .. "," .. run.worker, format("%d", finish)
      for _ = 1, tonumber(run.many) do
        local count, bytes = 0, 0
        while count < max do
          local element = popped[n + 1]
          if not element then break end
          local size = tonumber(match(element, ",(%d+)"))
          if (count > 0 and bytes + size > limit) or (total > 0 and total + size > {{bodyBytesMax}}) then break end
          bytes, total, count, n = bytes + size, total + size, count + 1, n + 1
          names[n], rests[n], ends[n] = string.sub(element, -16), rest, finish_text
          if string.byte(element, -17) ~= 58 then moved[#moved + 1] = n end
        end
        last = last + 1
        reply[last] = count
        if count > 0 and (not soonest or finish < soonest) then soonest = finish end
      end
    end

    -- What was popped and not dealt goes back to the head, as it was.
    if popped[n + 1] then
      local back = {}
      for i = #popped, n + 1, -1 do
        local priority = from and from[i] or priorities
        local line = back[priority] or {}
        back[priority] = line
        line[#line + 1] = popped[i]
      end
      for priority, line in pairs(back) do call("LPUSH", READY .. priority, unpack(line)) end
    end

    local states = {}
    for i = 1, #moved do
      names[n + i] = names[moved[i]] .. "s"
      states[moved[i]] = n + i
    end
    local found = n > 0 and call("HMGET", TASKS, unpack(names)) or {}
    local pasts, failed, failed_at, leased, at = {}, {}, {}, 0, #fields
    for i = 1, n do
      local id, record = names[i], found[i]
      if not record then
        -- Cancelled and gone since: its place in the answer stays empty.
        record, tombs = "", tombs - 1
      else
        local state
        if states[i] then
          local head, attempt, releases, has_failed, fence =
            match(fresh[id] or found[states[i]], "^R,(%d,%d+,[^,]*,%d+,%d+),(%d+),(%d+),(%d),(%d+)")
          state = "L," .. head .. "," .. (attempt + 1) .. "," .. releases .. "," .. has_failed .. ","
            .. format("%d.", math.max(fence + 1, micros + i - 1)) .. rests[i]
          local past = #pasts
          pasts[past + 1], pasts[past + 2], pasts[past + 3] = i - 1, state, ""
          if has_failed == "1" then
            failed[#failed + 1] = id .. "e"
            failed_at[#failed] = past + 3
          end
        else
          state = format("L,%s,1,0,0,%d.%s", match(record, "^[^\n]*"), micros + i - 1, rests[i])
        end
        fields[at + 1], fields[at + 2], at = id .. "s", state, at + 2
        leases_new[2 * leased + 1], leases_new[2 * leased + 2] = ends[i], id
        leased = leased + 1
      end
      reply[last + 1], reply[last + 2], last = id, record, last + 2
    end
    if #failed > 0 then
      local texts = call("HMGET", TASKS, unpack(failed))
      for i = 1, #failed do
        pasts[failed_at[i]] = fresh_failures[string.sub(failed[i], 1, 16)] or texts[i] or ""
      end
    end
    for i = 1, #pasts do reply[last + i] = pasts[i] end
    -- Who leaves a part of a full pop, or tombstones behind it, leaves more; else only the lists know.
    if popped[n + 1] or (more == 2 and tombs > 0) then more = 1 end
    unmet = leased < wanted
  end
  if more == 2 then
    local lines, left = {}, -tombs
    for i = 1, #priorities do lines[i] = READY .. string.sub(priorities, i, i) end
    if tombs == 0 then left = #lines > 0 and call("EXISTS", unpack(lines)) or 0
    else
      for i = 1, #lines do left = left + call("LLEN", lines[i]) end
    end
    more = left > 0 and 1 or 0
  end
end
