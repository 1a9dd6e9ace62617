-- Takes the caller from those who wait at a queue, and passes on what it may have been told: nobody waits there any more.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller
-- Reply nothing
-- Cost  TIME, HMGET, HSET, one LLEN for each priority, and at most eight PUBLISH
-- Bound eight brokers
--#include queue
--#include meta
load_meta({ "priorities", "tombs", "paused", "waiting" })
local rest = meta.waiting or ""
local from, to = string.find(rest, ARGV[2] .. " ", 1, true)
if from then set("waiting", string.sub(rest, 1, from - 1) .. string.sub(rest, to + 1)) end
if meta.paused ~= "1" and count_ready(1) > 0 then wake("", false) end
save_meta()
return 0
