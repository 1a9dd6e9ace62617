-- Passes a wake-up on: a broker was told of ready tasks and nobody waits there any more.
-- KEYS  1 queue, 2 due
-- ARGV  1 clock offset, 2 channel of the caller
-- Reply nothing
-- Cost  TIME, HMGET, HSET and at most three PUBLISH
-- Bound three brokers
--#include queue
--#include meta
load_meta({ "ready", "paused", "waiting" })
if number("ready") > 0 and meta.paused ~= "1" then
  local rest = meta.waiting or ""
  local from, to = string.find(rest, ARGV[2] .. " ", 1, true)
  if from then set("waiting", string.sub(rest, 1, from - 1) .. string.sub(rest, to + 1)) end
  wake("", false)
  save_meta()
end
return 0
