local base = KEYS[1]
local META, TASKS, LEASES = base .. ":meta", base .. ":tasks", base .. ":leases"
local SCHEDULED, READY = base .. ":scheduled", base .. ":ready:"
local call, match, floor, format = redis.call, string.match, math.floor, string.format

local time = call("TIME")
-- Fences are microseconds: more digits than the fourteen that Lua prints by itself, so they go through %d, 64 bits wide.
local micros = time[1] * 1000000 + time[2] + ARGV[1] * 1000
local now = floor(micros / 1000)
