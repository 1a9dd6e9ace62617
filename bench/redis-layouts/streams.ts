import { BASE, layout } from "./layout.ts";

const GROUP = "workers";

/** A stream for each priority; the pending entries of one group are the leases. */
export const STREAMS = layout(
  "streams",
  "leases of different lengths, reading a task by its id, the payload of a finished task; an enqueue costs one " +
    "call for each task; else as lmpop + one hash",
  {
    enqueue: `
for i = 1, #ARGV, 3 do
  call("XADD", base .. ":ready:" .. ARGV[i + 1], "*", ARGV[i], now .. "\\n" .. ARGV[i + 2])
end
call("HINCRBY", META, "ready", #ARGV / 3)
return #ARGV / 3
`,
    claim: `
local states, names, entries = {}, {}, {}
for priority = 2, 0, -1 do
  local key = base .. ":ready:" .. priority
  local got = call("XREADGROUP", "GROUP", "${GROUP}", "w", "COUNT", want - #entries, "STREAMS", key, ">")
  if got then
    for _, entry in ipairs(got[1][2]) do
      entries[#entries + 1] = { entry[2][1], entry[2][2], priority .. "," .. entry[1] }
      names[#names + 1] = entry[2][1] .. "s"
    end
  end
  if #entries == want then break end
end
local found, reply = call("HMGET", TASKS, unpack(names)), {}
local rest = "," .. now .. "," .. lease .. "," .. worker
for i = 1, #entries do
  local id, record, place = unpack(entries[i])
  local attempt, fence = match(found[i] or "", "^%u,(%d+),(%d+)")
  local token = format("%.0f.%s", max((fence or 0) + 1, micros), nonce)
  states[2 * i - 1] = names[i]
  states[2 * i] = "L," .. (attempt or 0) + 1 .. "," .. token .. "," .. place .. "," .. format("%.0f", now + lease) .. rest
  reply[3 * i - 2], reply[3 * i - 1], reply[3 * i] = id, record, token
end
call("HSET", TASKS, unpack(states))
count(-#entries, #entries, 0)
return reply
`,
    complete: `
local names = {}
for i = 1, #ARGV, 3 do names[#names + 1] = ARGV[i] .. "s" end
local found = call("HMGET", TASKS, unpack(names))
local fields, done, acked = {}, {}, {}
for i = 1, #names do
  local attempt, token, priority, entry, ends = match(found[i] or "", "^L,(%d+),([^,]+),(%d),([^,]+),(%d+)")
  if token == ARGV[3 * i - 1] and tonumber(ends) > now then
    fields[#fields + 1] = names[i]
    fields[#fields + 1] = "C," .. attempt .. "," .. token .. "," .. now
    fields[#fields + 1] = ARGV[3 * i - 2] .. "r"
    fields[#fields + 1] = ARGV[3 * i]
    done[#done + 1] = now
    done[#done + 1] = ARGV[3 * i - 2]
    acked[priority] = acked[priority] or {}
    acked[priority][#acked[priority] + 1] = entry
  end
end
if #done == 0 then return 0 end
for priority, entries in pairs(acked) do
  call("XACK", base .. ":ready:" .. priority, "${GROUP}", unpack(entries))
  call("XDEL", base .. ":ready:" .. priority, unpack(entries))
end
call("HSET", TASKS, unpack(fields))
call("ZADD", DONE, unpack(done))
count(0, -#done / 2, #done / 2)
return #done / 2
`,
  },
  [0, 1, 2].map(
    (priority) => ["XGROUP", "CREATE", `${BASE}:ready:${priority}`, GROUP, "0", "MKSTREAM"] as const,
  ),
);
