-- Ends claims in order, then leases the next tasks in the same step.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 nonce, 4 number of endings,
--       then for each ending: kind, id, token, two values by kind:
--         C result | c -            complete
--         N error, wait | n -, wait nack; the wait is milliseconds, or r and the random number for the backoff
--         F error | f -             refuse
--         l -                       release        u - release of what was not delivered
--       then asks as in claim
-- Reply now, 1 when more is ready, number of tasks of each ask, items as in claim, outcomes, 1 when the caller is
--       the one to wake
--       outcome: C ran | P | R ran | S ran,at | Da ran | Dr ran | L state | N
-- Cost  TIME, HMGET, HMGET, ZMSCORE, ZREM, HSET, HSET and one ZADD for each state entered, one RPUSH, LPUSH for each
--       priority touched; with asks also LMPOP for each priority, HMGET, ZADD; with wakes or awaited ends three more
-- Bound 1,000 endings, 1,000 asked
--#include queue
--#include meta
--#include step
local self, nonce, endings = ARGV[2], ARGV[3], tonumber(ARGV[4])
local first_ask = 5 + 5 * endings

local names, ids, failures_at = {}, {}, {}
for i = 1, endings do
  ids[i] = ARGV[5 * i + 1]
  names[i] = ids[i] .. "s"
end
for i = 1, endings do
  if string.find("NnFf", ARGV[5 * i], 1, true) then
    names[#names + 1] = ids[i] .. "e"
    failures_at[i] = #names
  end
end
local found = endings > 0 and call("HMGET", TASKS, unpack(names)) or {}
local ends = endings > 0 and call("ZMSCORE", LEASES, unpack(ids)) or {}
load_meta({ "paused", "leaseMs", "scheduled", "ready", "leased", "completed", "dead", "tombs", "order", "bytes",
  "due", "waiting", "awaited", "priorities", "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9" })

-- Who has no state is ready and was never claimed, or is not there.
local bare, bare_at = {}, {}
for i = 1, endings do
  if not found[i] then
    bare[#bare + 1] = ids[i]
    bare_at[#bare] = i
  end
end
local is_there = {}
if #bare > 0 then
  local records = call("HMGET", TASKS, unpack(bare))
  for i = 1, #bare do is_there[bare_at[i]] = records[i] end
end

local function end_claim(i)
  local kind, id, token, a, b = ARGV[5 * i], ids[i], ARGV[5 * i + 2], ARGV[5 * i + 3], ARGV[5 * i + 4]
  local text = fresh[id] or found[i]
  if not text then return is_there[i] and "LR" or "N" end
  local task = parse(id, text)
  if task.letter ~= "L" or task.fence ~= token or tonumber(ends[i]) <= now then
    if (kind == "C" or kind == "c") and task.letter == "C" and task.fence == token then return "P" end
    return "L" .. task.letter
  end
  local claimed_at, worker = match(task.rest, "^,(%d+),%d+,(.*)$")
  local ran = now - claimed_at
  leave(task)
  if kind == "C" or kind == "c" then
    if kind == "C" then put(id .. "r", a) end
    to_finished(task, "C", #a, "", token)
    return "C" .. ran
  elseif kind == "l" or kind == "u" then
    local letter = release(task, kind == "u")
    return letter == "D" and "Da" .. ran or "R" .. ran
  end
  fail(task, failures_at[i] and found[failures_at[i]] or nil, worker, a, kind == "N" or kind == "F")
  if kind == "F" or kind == "f" then
    to_finished(task, "D", 0, "r", fence_of(task))
    return "Dr" .. ran
  elseif task.attempt >= task.most then
    to_finished(task, "D", 0, "a", fence_of(task))
    return "Da" .. ran
  end
  local wait = tonumber(b)
  if not wait then
    local type, first, cap, jitter = match(task.backoff, "^(%a)(%d+):(%d+)(%a)$")
    local random = tonumber(string.sub(b, 2))
    local ceiling = tonumber(first)
    if type == "l" then ceiling = ceiling * task.attempt
    elseif type == "e" then ceiling = ceiling * 2 ^ (task.attempt - 1) end
    ceiling = math.min(tonumber(cap), ceiling)
    if jitter == "n" then wait = ceiling
    elseif jitter == "e" then wait = ceiling / 2 + random * ceiling / 2
    else wait = random * ceiling end
    wait = floor(wait + 0.5)
  end
  if wait == 0 then
    to_tail(task, format("%d", now))
    return "R" .. ran
  end
  to_scheduled(task, now + wait)
  return "S" .. ran .. "," .. format("%d", now + wait)
end

-- A completion by the holder, which most are, goes straight through; the rest as the general rules say.
local outcomes, completed, bytes = {}, 0, 0
local completed_new, now_text = finished_new.C, format("%d", now)
for i = 1, endings do
  local kind, id, token, text = ARGV[5 * i], ids[i], ARGV[5 * i + 2], found[i]
  local head, size, past, fence, claimed_at
  if (kind == "c" or kind == "C") and text and not fresh[id] then
    head, size, past, fence, claimed_at =
      match(text, "^L,(%d,%d+,[^,]*,)(%d+)(,%d+,%d+,%d+,%d),([%d.]+),(%d+)")
  end
  if fence == token and tonumber(ends[i]) > now then
    local place, result = next_order(), ARGV[5 * i + 3]
    local state = "C," .. head .. size .. past .. "," .. token .. "," .. now_text .. "," .. place .. "," .. #result .. ","
    fresh[id] = state
    fields[#fields + 1], fields[#fields + 2] = names[i], state
    if kind == "C" then fields[#fields + 1], fields[#fields + 2] = id .. "r", result end
    completed, bytes = completed + 1, bytes + size + #result
    leases_gone[#leases_gone + 1] = id
    completed_new[#completed_new + 1], completed_new[#completed_new + 2] = now_text, place .. id
    ended[#ended + 1] = id .. "C"
    outcomes[i] = "C" .. now - claimed_at
  else
    outcomes[i] = end_claim(i)
  end
end
if completed > 0 then
  add("leased", -completed)
  add("completed", completed)
  add("bytes", bytes)
end
local readied = next(tails) or next(heads)
flush_places()
--#include grant
variadic("ZADD", LEASES, leases_new)
flush_tasks()
local woken = 0
if readied and more == 1 and not ARGV[first_ask] then woken = wake(self, false) end
tell_ended()
save_meta()
return { now, more, counts, items, outcomes, woken }
