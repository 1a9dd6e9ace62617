-- Leases ready tasks: highest priority first, first in first out within it.
-- KEYS  1 queue, 2 due
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 nonce,
--       then for each run of equal asks: how many, max, leaseMs or "", bytesMax or "", worker
-- Reply now, 1 when more is ready, number of tasks of each ask, id + record + state + failures of each task
-- Cost  TIME, HMGET, HMGET, HSET, ZADD, HSET and one LPOP or LMPOP for each priority touched; four more at most when
--       tasks were cancelled or have failed, and when the queue's next due time changes or a broker is woken
-- Bound 1,000 tasks, 1,000 tombstones, 16 MiB of payloads
--#include queue
--#include meta
load_meta({ "paused", "leaseMs", "ready", "leased", "tombs", "due", "waiting", "priorities" })
local self, nonce, first_ask = ARGV[2], ARGV[3], 4
local fields, fresh, fresh_failures = {}, {}, {}
--#include grant
if #leases_new > 0 then
  call("ZADD", LEASES, unpack(leases_new))
  call("HSET", TASKS, unpack(fields))
end
save_meta()
return { now, more, counts, items }
