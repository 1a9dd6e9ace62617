-- What an operator does to tasks by id, and to the dead: cancel, requeue, release.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 verb: cancel, requeue, release
--       or dead, 4 limit of dead, then ids
-- Reply now, 1 when more dead are there, 1 when the caller is the one to wake, for each id: W state | N | D when a
--       release ended the task | M, and for M of cancel and requeue in order: id, record, state, failures
-- Cost  TIME, HMGET, HMGET, ZREM, HSET, HSET, HMGET and one ZREM for each state left, one ZADD for each entered, one
--       RPUSH, LPUSH for each priority; dead ZRANGE, ZCARD more; a wake and awaited ends three more
-- Bound 1,000 ids, 500 dead
--#include queue
--#include meta
local fields, fresh, fresh_failures = {}, {}, {}
--#include step
local self, verb, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
load_meta({ "paused", "tombs", "order", "bytes", "due", "waiting", "awaited" })
local ids = {}
if verb == "dead" then
  local members = call("ZRANGE", base .. ":dead", 0, limit - 1)
  for i = 1, #members do ids[i] = string.sub(members[i], -16) end
else
  for i = 5, #ARGV do ids[#ids + 1] = ARGV[i] end
end
local names = {}
for i = 1, #ids do
  names[2 * i - 1] = ids[i]
  names[2 * i] = ids[i] .. "s"
end
local found = {}
if verb == "dead" or verb == "release" then
  -- No record is needed where every task that can move has a state.
  for i = 1, #ids do names[i] = ids[i] .. "s" end
  for i = #names, #ids + 1, -1 do names[i] = nil end
  local states = #ids > 0 and call("HMGET", TASKS, unpack(names)) or {}
  local bare = {}
  for i = 1, #ids do
    found[2 * i] = states[i]
    found[2 * i - 1] = states[i]
    if not states[i] then bare[#bare + 1] = ids[i] end
  end
  if #bare > 0 then
    local records, at = call("HMGET", TASKS, unpack(bare)), 0
    for i = 1, #ids do
      if not states[i] then
        at = at + 1
        found[2 * i - 1] = records[at]
      end
    end
  end
elseif #ids > 0 then
  found = call("HMGET", TASKS, unpack(names))
end

local MOVABLE = { cancel = "SRL", requeue = "SDX", release = "L", dead = "D" }
local outcomes, moved = {}, {}
for i = 1, #ids do
  local id, record = ids[i], found[2 * i - 1]
  local text = fresh[id] or found[2 * i]
  if not record then outcomes[i] = "N"
  else
    local task = text and parse(id, text) or parse_record(id, record)
    if not string.find(MOVABLE[verb], task.letter, 1, true) then outcomes[i] = "W" .. task.letter
    else
      leave(task)
      outcomes[i] = "M"
      if verb == "cancel" then to_finished(task, "X", 0, "", fence_of(task))
      elseif verb == "release" then
        if release(task, false) == "D" then outcomes[i] = "D" end
      else
        task.attempt, task.releases = 0, 0
        to_tail(task, format("%d", now))
      end
      if verb == "cancel" or verb == "requeue" then
        moved[#moved + 1] = id
        moved[#moved + 1] = record
      end
    end
  end
end
local readied = next(tails) or next(heads)
flush_places()
flush_tasks()
tell_ended()
local woken = 0
if readied and meta.paused ~= "1" then woken = wake(self, false) end
save_meta()

local items, failed = {}, {}
for i = 1, #moved, 2 do
  local id = moved[i]
  items[#items + 1], items[#items + 2], items[#items + 3], items[#items + 4] = id, moved[i + 1], fresh[id], ""
  if select(10, match(fresh[id], STATE)) == "1" then failed[#failed + 1] = #items end
end
if #failed > 0 then
  local fields_of = {}
  for i = 1, #failed do fields_of[i] = items[failed[i] - 3] .. "e" end
  local texts = call("HMGET", TASKS, unpack(fields_of))
  for i = 1, #failed do items[failed[i]] = texts[i] or "" end
end
return { now, verb == "dead" and call("ZCARD", base .. ":dead") > 0 and 1 or 0, woken, outcomes, items }
