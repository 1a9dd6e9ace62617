-- Leases ready tasks: highest priority first, first in first out within it.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 nonce,
--       then for each run of equal asks one text: how many, max, leaseMs or nothing, bytesMax or nothing, worker
-- Reply now, 1 when more is ready, then what was granted: fence of the first task without a past, one more for each
--       further one; the queue's lease; number of tasks of each ask; id + record of each task; of those with a past
--       their place among the tasks + state + failures. Or, of a single task: fence, its lease, id, record and, when
--       it has a past, state, failures
-- Cost  TIME, HMGET, HMGET (of one task HGET), HSET, ZADD, HSET and one LPOP or LMPOP for each priority touched; four more
--       at most when tasks were cancelled or have failed, and when the queue's next due time changes or a broker is woken
-- Bound 1,000 tasks, 1,000 tombstones, 16 MiB of payloads
--#include queue
local queue = call("HMGET", META, "leaseMs", "due", "priorities", "paused", "tombs", "waiting")

-- One task from a queue of one priority, nothing cancelled, nobody waiting: by far the most common claim when
-- latency counts. Straight through, without the general path's functions and tables: half its time in Redis.
local own_lease, worker = match(ARGV[4] or "", "^1,1,(%d*),%d*,(.*)$")
if own_lease and not ARGV[5] and queue[2] and #(queue[3] or "") == 1 and queue[4] ~= "1" and (queue[5] or "0") == "0"
  and (queue[6] or "") == "" then
  local lease, line = own_lease ~= "" and own_lease or queue[1] or "{{leaseMs}}", READY .. queue[3]
  local finish = now + lease
  if queue[2] ~= "" and tonumber(queue[2]) <= finish then
    local next_id, next_field, next_state, record, moved, failures
    --#include next
    if next_id then
      call("HSET", TASKS, next_field, next_state)
      return { now, call("LLEN", line) == 0 and 0 or 1, micros, lease, next_id, record, moved, failures }
    end
  end
end

local lease_default, due = queue[1] or "{{leaseMs}}", tonumber(queue[2])
local priorities, paused, tombs = queue[3] or "", queue[4] == "1", tonumber(queue[5] or 0)
local self, first_ask, tombs_before = ARGV[2], 4, tombs
local fields, fresh, fresh_failures, reply = {}, {}, {}, { now, 0 }
--#include grant
if #leases_new > 0 then
  call("ZADD", LEASES, unpack(leases_new))
  call("HSET", TASKS, unpack(fields))
end
-- Most claims change nothing but tasks.
if (queue[6] or "") ~= "" or (unmet and self ~= "") or tombs ~= tombs_before or (soonest and not (due and due <= soonest)) then
  --#include meta
  meta.due, meta.tombs, meta.waiting = queue[2] or nil, queue[5] or nil, queue[6]
  --#include granted
  save_meta()
end
reply[2] = more
return reply
