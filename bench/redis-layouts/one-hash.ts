import { type Layout, layout } from "./layout.ts";

const SMALL = "cancel with tombstones, delays, retries, wake-ups, keys: the lean core of the engine";

/** Records and states in one hash: shared by the layouts that differ only in how ready tasks are ordered. */
const RECORDS = `
local fields, lines, order = {}, {}, {}
for i = 1, #ARGV, 3 do
  fields[#fields + 1] = ARGV[i]
  fields[#fields + 1] = ARGV[i + 1] .. ",5," .. now .. "\\n" .. ARGV[i + 2]
  local line = lines[ARGV[i + 1]] or {}
  lines[ARGV[i + 1]] = line
  line[#line + 1] = ARGV[i]
  order[#order + 1] = ARGV[i]
end
call("HSET", TASKS, unpack(fields))
`;

const COUNT_NEW = `
call("HINCRBY", META, "ready", #ARGV / 3)
return #ARGV / 3
`;

export const PUSH_LISTS = `${RECORDS}
for priority, line in pairs(lines) do call("RPUSH", base .. ":ready:" .. priority, unpack(line)) end
${COUNT_NEW}`;

export const POP_LISTS = `
local ids = {}
while #ids < want do
  local got = call("LMPOP", 3, base .. ":ready:2", base .. ":ready:1", base .. ":ready:0", "LEFT", "COUNT", want - #ids)
  if not got then break end
  for i = 1, #got[2] do ids[#ids + 1] = got[2][i] end
end
`;

const LEASE_EACH = `
local names = {}
for i = 1, #ids do
  names[2 * i - 1] = ids[i]
  names[2 * i] = ids[i] .. "s"
end
local found = call("HMGET", TASKS, unpack(names))
local states, leases, reply = {}, {}, {}
local rest = "," .. now .. "," .. lease .. "," .. worker
for i = 1, #ids do
  local attempt, fence = match(found[2 * i] or "", "^%u,(%d+),(%d+)")
  local token = format("%.0f.%s", max((fence or 0) + 1, micros), nonce)
  states[2 * i - 1] = ids[i] .. "s"
  states[2 * i] = "L," .. (attempt or 0) + 1 .. "," .. token .. rest
  leases[2 * i - 1] = now + lease
  leases[2 * i] = ids[i]
  reply[3 * i - 2], reply[3 * i - 1], reply[3 * i] = ids[i], found[2 * i - 1], token
end
call("HSET", TASKS, unpack(states))
call("ZADD", LEASES, unpack(leases))
count(-#ids, #ids, 0)
return reply
`;

const COMPLETE_EACH = `
local names, ids = {}, {}
for i = 1, #ARGV, 3 do
  ids[#ids + 1] = ARGV[i]
  names[#names + 1] = ARGV[i] .. "s"
end
local found, ends = call("HMGET", TASKS, unpack(names)), call("ZMSCORE", LEASES, unpack(ids))
local fields, gone, done = {}, {}, {}
for i = 1, #ids do
  local attempt, token = match(found[i] or "", "^L,(%d+),([^,]+)")
  if token == ARGV[3 * i - 1] and ends[i] and tonumber(ends[i]) > now then
    fields[#fields + 1] = ids[i] .. "s"
    fields[#fields + 1] = "C," .. attempt .. "," .. token .. "," .. now
    fields[#fields + 1] = ids[i] .. "r"
    fields[#fields + 1] = ARGV[3 * i]
    gone[#gone + 1] = ids[i]
    done[#done + 1] = now
    done[#done + 1] = ids[i]
  end
end
if #gone == 0 then return 0 end
call("HSET", TASKS, unpack(fields))
call("ZREM", LEASES, unpack(gone))
call("ZADD", DONE, unpack(done))
count(0, -#gone, #gone)
return #gone
`;

/** The engine's own layout, without what else the engine does. */
export const LISTS_ONE_HASH: Layout = layout("lmpop + one hash", SMALL, {
  enqueue: PUSH_LISTS,
  claim: POP_LISTS + LEASE_EACH,
  complete: COMPLETE_EACH,
});

/** Ready order in a sorted set: priority and a running number make the score. */
export const ZSET_ONE_HASH: Layout = layout("zset + one hash", SMALL, {
  enqueue: `${RECORDS}
local last = call("HINCRBY", META, "order", #order)
local scored = {}
for i = 1, #order do
  scored[2 * i - 1] = format("%.0f", (9 - ARGV[3 * i - 1]) * 1e13 + last - #order + i)
  scored[2 * i] = order[i]
end
call("ZADD", base .. ":ready", unpack(scored))
${COUNT_NEW}`,
  claim: `
local popped, ids = call("ZPOPMIN", base .. ":ready", want), {}
for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
${LEASE_EACH}`,
  complete: COMPLETE_EACH,
});

/** One lease for all tasks of a claim call; who completes leaves it alone, and its end finds them finished. */
export const GROUP_LEASE: Layout = layout(
  "group lease",
  `${SMALL}; a heartbeat of one task, leases listed by their end, a due time that is right once a group's tasks are done`,
  {
    enqueue: PUSH_LISTS,
    claim: `${POP_LISTS}
local names = {}
for i = 1, #ids do
  names[2 * i - 1] = ids[i]
  names[2 * i] = ids[i] .. "s"
end
local found = call("HMGET", TASKS, unpack(names))
local states, reply = {}, {}
local rest = "," .. format("%.0f", now + lease) .. "," .. now .. "," .. lease .. "," .. worker
for i = 1, #ids do
  local attempt, fence = match(found[2 * i] or "", "^%u,(%d+),(%d+)")
  local token = format("%.0f.%s", max((fence or 0) + 1, micros), nonce)
  states[2 * i - 1] = ids[i] .. "s"
  states[2 * i] = "L," .. (attempt or 0) + 1 .. "," .. token .. rest
  reply[3 * i - 2], reply[3 * i - 1], reply[3 * i] = ids[i], found[2 * i - 1], token
end
call("HSET", TASKS, unpack(states))
call("ZADD", LEASES, now + lease, format("%.0f ", micros) .. table.concat(ids, " "))
count(-#ids, #ids, 0)
return reply
`,
    complete: `
local names = {}
for i = 1, #ARGV, 3 do names[#names + 1] = ARGV[i] .. "s" end
local found = call("HMGET", TASKS, unpack(names))
local fields, done = {}, {}
for i = 1, #names do
  local attempt, token, ends = match(found[i] or "", "^L,(%d+),([^,]+),(%d+)")
  if token == ARGV[3 * i - 1] and tonumber(ends) > now then
    fields[#fields + 1] = names[i]
    fields[#fields + 1] = "C," .. attempt .. "," .. token .. "," .. now
    fields[#fields + 1] = ARGV[3 * i - 2] .. "r"
    fields[#fields + 1] = ARGV[3 * i]
    done[#done + 1] = now
    done[#done + 1] = ARGV[3 * i - 2]
  end
end
if #done == 0 then return 0 end
call("HSET", TASKS, unpack(fields))
call("ZADD", DONE, unpack(done))
count(0, -#done / 2, #done / 2)
return #done / 2
`,
  },
);
