-- Leases ready tasks: highest priority first, first in first out within it.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 nonce,
--       then for each run of equal asks one text: how many, max, leaseMs or nothing, bytesMax or nothing, worker
-- Reply now, 1 when more is ready, number of tasks of each ask, id + record + state + failures of each task
-- Cost  TIME, HMGET, HMGET, HSET, ZADD, HSET and one LPOP or LMPOP for each priority touched; four more at most when
--       tasks were cancelled or have failed, and when the queue's next due time changes or a broker is woken
-- Bound 1,000 tasks, 1,000 tombstones, 16 MiB of payloads
--#include queue
local queue = call("HMGET", META, "ready", "leased", "leaseMs", "due", "priorities", "paused", "tombs", "waiting")

-- One task from a queue of one priority, nothing cancelled, nobody waiting: by far the most common claim when
-- latency counts. Straight through, without the general path's functions and tables: half its time in Redis.
local own_lease, worker = match(ARGV[4] or "", "^1,1,(%d*),%d*,(.*)$")
if own_lease and not ARGV[5] and (queue[1] or "0") ~= "0" and queue[4] and #(queue[5] or "") == 1
  and queue[6] ~= "1" and (queue[7] or "0") == "0" and (queue[8] or "") == "" then
  local lease = own_lease ~= "" and own_lease or queue[3] or "{{leaseMs}}"
  local finish = now + lease
  if queue[4] ~= "" and tonumber(queue[4]) <= finish then
    local id = string.sub(call("LPOP", READY .. queue[5]), -16)
    local field = id .. "s"
    local task = call("HMGET", TASKS, id, field)
    local record, state, failures = task[1], task[2], ""
    local rest = format(".%s,%d,%s,%s", ARGV[3], now, lease, worker)
    if state then
      local head, attempt, releases, failed, fence =
        match(state, "^R,(%d,%d+,[^,]*,%d+,%d+),(%d+),(%d+),(%d),(%d+)")
      state = "L," .. head .. format(",%d,", attempt + 1) .. releases .. "," .. failed
        .. format(",%d", math.max(fence + 1, micros)) .. rest
      if failed == "1" then failures = call("HGET", TASKS, id .. "e") end
    else
      state = "L," .. match(record, "^[^\n]*") .. format(",1,0,0,%d", micros) .. rest
    end
    call("ZADD", LEASES, format("%d", finish), id)
    call("HSET", TASKS, field, state)
    call("HSET", META, "ready", queue[1] - 1, "leased", (queue[2] or 0) + 1)
    return { now, queue[1] == "1" and 0 or 1, { 1 }, { id, record, state, failures } }
  end
end

--#include meta
local self, nonce, first_ask = ARGV[2], ARGV[3], 4
meta.ready, meta.leased, meta.leaseMs, meta.due = queue[1] or nil, queue[2] or nil, queue[3] or nil, queue[4] or nil
meta.priorities, meta.paused, meta.tombs, meta.waiting = queue[5], queue[6], queue[7] or nil, queue[8]
local fields, fresh, fresh_failures = {}, {}, {}
--#include grant
if #leases_new > 0 then
  call("ZADD", LEASES, unpack(leases_new))
  call("HSET", TASKS, unpack(fields))
end
save_meta()
return { now, more, counts, items }
