-- Ends claims in order, then leases the next tasks in the same step.
-- KEYS  1 queue; in a cluster 2 its own due, then all its keys
-- ARGV  1 clock offset, 2 channel of the caller when somebody waits there else "", 3 nonce, 4 number of endings,
--       then for each ending: kind, id, token, two values by kind:
--         C result | c -            complete
--         N error, wait | n -, wait nack; the wait is milliseconds, or r and the random number for the backoff
--         F error | f -             refuse
--         l -                       release        u - release of what was not delivered
--       then asks as in claim
-- Reply now, 1 when more is ready, outcomes, or the only one alone, 1 when the caller is the one to wake, then what was
--       granted as in claim
--       outcome: C ran | P | R ran | S ran,at | Da ran | Dr ran | L state | N
-- Cost  TIME, HMGET, HMGET, ZCOUNT or ZMSCORE, ZREM, HSET, HSET, EXISTS and one ZADD for each state entered, one RPUSH, LPUSH
--       for each priority touched; with asks also LMPOP for each priority, HMGET, ZADD; with wakes or awaited ends three more
-- Bound 1,000 endings, 1,000 asked
--#include queue

-- One completion by the holder, with one task asked for or none; a queue of one priority, nothing cancelled, nobody
-- waiting or awaiting: what a worker at a time sends. Straight through, without the general path's functions and tables.
local queue = call("HMGET", META, "leaseMs", "due", "priorities", "paused", "tombs", "waiting", "awaited", "bytes", "order")
local own_lease, worker = match(ARGV[10] or "1,1,,,", "^1,1,(%d*),%d*,(.*)$")
if ARGV[4] == "1" and (ARGV[5] == "c" or ARGV[5] == "C") and own_lease and not ARGV[11] then
  local lease, line = own_lease ~= "" and own_lease or queue[1] or "{{leaseMs}}", READY .. (queue[3] or "")
  local finish = now + lease
  local straight = (queue[7] or "") == "" and #(queue[3] or "") == 1 and queue[4] ~= "1" and (queue[5] or "0") == "0"
  if ARGV[10] then
    straight = straight and (queue[6] or "") == "" and (queue[2] or "") ~= "" and tonumber(queue[2]) <= finish
  end
  local id, token, result = ARGV[6], ARGV[7], ARGV[8]
  local text = straight and call("HGET", TASKS, id .. "s")
  local ends = text and call("ZSCORE", LEASES, id)
  if ends and tonumber(ends) > now then
    local head, size, fence, claimed_at = match(text, "^L,(%d,%d+,[^,]*,(%d+),%d+,%d+,%d+,%d),([%d.]+),(%d+)")
    if fence == token then
      local place = format("%012d", (queue[9] or 0) + 1)
      local args = { id .. "s", "C," .. head .. "," .. token .. "," .. format("%d", now) .. "," .. place
        .. "," .. #result .. "," }
      if ARGV[5] == "C" then args[3], args[4] = id .. "r", result end
      call("ZREM", LEASES, id)
      call("ZADD", base .. ":completed", format("%d", now), place .. id)
      local next_id, next_field, next_state, record, moved, failures
      if ARGV[10] then
        --#include next
        if next_id then args[#args + 1], args[#args + 2] = next_field, next_state end
      end
      call("HSET", TASKS, unpack(args))
      -- Who asked in vain, for somebody who waits, waits from here on.
      local waits = ARGV[10] and not next_id and ARGV[2] ~= ""
      call("HSET", META, "bytes", format("%d", (queue[8] or 0) + size + #result), "order", format("%d", place),
        "waiting", waits and ARGV[2] .. " " or queue[6] or "")
      local more, word = call("LLEN", line) == 0 and 0 or 1, format("C%d", now - claimed_at)
      if next_id then return { now, more, word, 0, micros, lease, next_id, record, moved, failures } end
      return { now, more, word, 0, micros, lease, ARGV[10] and 0 or nil }
    end
  end
end

local self, argv, endings = ARGV[2], ARGV, tonumber(ARGV[4])
local first_ask = 5 + 5 * endings
local names, ids, completions = {}, {}, 0
for i = 1, endings do
  local kind, id = argv[5 * i], argv[5 * i + 1]
  ids[i], names[i] = id, id .. "s"
  if kind == "c" or kind == "C" then completions = completions + 1 end
end
local failures_at = {}
if completions < endings then
  for i = 1, endings do
    if string.find("NnFf", argv[5 * i], 1, true) then
      names[#names + 1] = ids[i] .. "e"
      failures_at[i] = #names
    end
  end
end
local found = endings > 0 and call("HMGET", TASKS, unpack(names)) or {}
local fields, fresh, fresh_failures, outcomes = {}, {}, {}, {}
local lease_default, priorities, paused = queue[1] or "{{leaseMs}}", queue[3] or "", queue[4] == "1"
local tombs = tonumber(queue[5] or 0)

-- Completions by the holders, of which nobody awaits the end, while no lease of the queue has ended: what many busy workers
-- send. As the general rules say, without their functions and tables, and without asking for the end of each lease.
local at, order, bytes, completed_new = 0, queue[9] or 0, 0, {}
local now_text = format("%d", now)
local straight = endings > 0 and completions == endings and (queue[7] or "") == ""
  and call("ZCOUNT", LEASES, "-inf", now_text) == 0
if straight then
  for i = 1, endings do
    local id, text, result = ids[i], found[i], argv[5 * i + 3]
    local head, size, fence, claimed_at
    if text and not fresh[id] then
      head, size, fence, claimed_at = match(text, "^L,(%d,%d+,[^,]*,(%d+),%d+,%d+,%d+,%d),([%d.]+),(%d+)")
    end
    if not fence or fence ~= argv[5 * i + 2] then
      straight, fields, fresh, outcomes = false, {}, {}, {}
      break
    end
    local place = format("%012d", order + i)
    fresh[id] = true
    fields[at + 1] = names[i]
    fields[at + 2] = "C," .. head .. "," .. fence .. "," .. now_text .. "," .. place .. "," .. #result .. ","
    at = at + 2
    if argv[5 * i] == "C" then fields[at + 1], fields[at + 2], at = id .. "r", result, at + 2 end
    bytes = bytes + size + #result
    completed_new[2 * i - 1], completed_new[2 * i] = now_text, place .. id
    outcomes[i] = format("C%d", now - claimed_at)
  end
end
if straight then
  fresh = {}
  call("ZREM", LEASES, unpack(ids))
  call("ZADD", base .. ":completed", unpack(completed_new))
  local reply, tombs_before, due = { now, 0, outcomes, 0 }, tombs, tonumber(queue[2])
  --#include grant
  if #leases_new > 0 then call("ZADD", LEASES, unpack(leases_new)) end
  call("HSET", TASKS, unpack(fields))
  call("HSET", META, "bytes", format("%d", (queue[8] or 0) + bytes), "order", format("%d", order + endings))
  if (queue[6] or "") ~= "" or (unmet and self ~= "") or tombs ~= tombs_before or (soonest and not (due and due <= soonest)) then
    --#include meta
    meta.due, meta.tombs, meta.waiting = queue[2] or nil, queue[5] or nil, queue[6]
    --#include granted
    save_meta()
  end
  reply[2] = more
  return reply
end

--#include meta
--#include step
local ends = endings > 0 and call("ZMSCORE", LEASES, unpack(ids)) or {}
meta.leaseMs, meta.due, meta.priorities, meta.paused = queue[1] or nil, queue[2] or nil, queue[3] or nil, queue[4]
meta.tombs, meta.waiting, meta.awaited, meta.bytes, meta.order = queue[5] or nil, queue[6], queue[7], queue[8] or nil,
  queue[9] or nil

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

for i = 1, endings do outcomes[i] = end_claim(i) end
local readied = next(tails) or next(heads)
flush_places()
local reply = { now, 0, outcomes, 0 }
--#include grant
variadic("ZADD", LEASES, leases_new)
flush_tasks()
--#include granted
local woken = 0
if readied and more == 1 and not ARGV[first_ask] then woken = wake(self, false) end
tell_ended()
save_meta()
reply[2], reply[4] = more, woken
return reply
