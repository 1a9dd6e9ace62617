-- Leases the next task of `line`, the list of a queue of one priority in which nothing was cancelled. Its state stays to
-- be written: `next_state` to `next_field`. Answered are `next_id`, nil when none is ready, its `record` and, when it has
-- a past, `moved`, which is its state, and its `failures`. Used once in a script, so it is no function; who includes it
-- declares all these.
local element = call("LPOP", line)
if element then
  next_id = string.sub(element, -16)
  next_field = next_id .. "s"
  if string.byte(element, -17) == 58 then
    record = call("HGET", TASKS, next_id)
    next_state = format("L,%s,1,0,0,%d.%s,%d,%s,%s", match(record, "^[^\n]*"), micros, ARGV[3], now, lease, worker)
  else
    local task = call("HMGET", TASKS, next_id, next_field)
    local head, attempt, releases, failed, fence =
      match(task[2], "^R,(%d,%d+,[^,]*,%d+,%d+),(%d+),(%d+),(%d),(%d+)")
    moved = format("L,%s,%d,%s,%s,%d.%s,%d,%s,%s", head, attempt + 1, releases, failed, math.max(fence + 1, micros),
      ARGV[3], now, lease, worker)
    record, failures = task[1], failed == "1" and call("HGET", TASKS, next_id .. "e") or ""
    next_state = moved
  end
  call("ZADD", LEASES, format("%d", finish), next_id)
end
