-- Moves scheduled tasks whose time has come to ready, earliest first.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 limit
-- Reply now, 1 when more are due, 1 when the caller is the one to wake, how late each became ready
-- Cost  TIME, HMGET, ZRANGE, HMGET, ZREM, HSET, ZRANGE, ZRANGE, ZADD, HSET and one RPUSH for each priority; a wake more
-- Bound 500 tasks
--#include queue
--#include meta
local fields, fresh, fresh_failures = {}, {}, {}
--#include step
local self, limit = ARGV[2], tonumber(ARGV[3])
load_meta({ "paused", "due", "waiting" })
local members = call("ZRANGE", SCHEDULED, "-inf", now, "BYSCORE", "LIMIT", 0, limit)
local names, late = {}, {}
for i = 1, #members do names[i] = string.sub(members[i], -16) .. "s" end
local states = #names > 0 and call("HMGET", TASKS, unpack(names)) or {}
for i = 1, #members do
  local task = parse(string.sub(members[i], -16), states[i])
  late[i] = now - task.run_at
  leave(task)
  to_tail(task, task.run_at)
end
flush_places()
flush_tasks()
settle_due()
local woken = 0
if #members > 0 and meta.paused ~= "1" then woken = wake(self, false) end
local next_one = call("ZRANGE", SCHEDULED, "-inf", now, "BYSCORE", "LIMIT", 0, 1)
save_meta()
return { now, #next_one > 0 and 1 or 0, woken, late }
