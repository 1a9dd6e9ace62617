-- Takes expired leases back, earliest first: to ready, or to dead after the last attempt.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 limit
-- Reply now, 1 when more have expired, 1 when the caller is the one to wake, id and letter of each
-- Cost  TIME, HMGET, ZRANGE, HMGET, ZREM, ZADD, HSET, ZRANGE, ZRANGE, ZADD, HSET and one RPUSH for each priority; a wake
--       and awaited ends three more
-- Bound 250 tasks
--#include queue
--#include meta
local fields, fresh, fresh_failures = {}, {}, {}
--#include step
local self, limit = ARGV[2], tonumber(ARGV[3])
load_meta({ "paused", "order", "bytes", "due", "waiting", "awaited" })
local ids = call("ZRANGE", LEASES, "-inf", now, "BYSCORE", "LIMIT", 0, limit)
local names = {}
for i = 1, #ids do
  names[2 * i - 1] = ids[i] .. "s"
  names[2 * i] = ids[i] .. "e"
end
local found = #ids > 0 and call("HMGET", TASKS, unpack(names)) or {}
local reaped = {}
for i = 1, #ids do
  local task = parse(ids[i], found[2 * i - 1])
  leave(task)
  fail(task, found[2 * i] or nil, match(task.rest, "^,%d+,%d+,(.*)$"), "lease expired", true)
  if task.attempt >= task.most then
    to_finished(task, "D", 0, "a", fence_of(task))
    reaped[i] = ids[i] .. "D"
  else
    to_tail(task, format("%d", now))
    reaped[i] = ids[i] .. "R"
  end
end
local readied = next(tails)
flush_places()
flush_tasks()
settle_due()
tell_ended()
local woken = 0
if readied and meta.paused ~= "1" then woken = wake(self, false) end
local next_one = call("ZRANGE", LEASES, "-inf", now, "BYSCORE", "LIMIT", 0, 1)
save_meta()
return { now, #next_one > 0 and 1 or 0, woken, reaped }
