import { layout } from "./layout.ts";

/** The list holds id and record in turn, so a claim finds the payload where it finds the task. */
export const PAIRS = layout(
  "pairs + claim hash",
  "reading a waiting task by its id, cancelling it, knowing an id that was sent again; else as lmpop + one hash",
  {
    enqueue: `
local lines = {}
for i = 1, #ARGV, 3 do
  local line = lines[ARGV[i + 1]] or {}
  lines[ARGV[i + 1]] = line
  line[#line + 1] = ARGV[i]
  line[#line + 1] = "R,0,0," .. ARGV[i + 1] .. ",5," .. now .. "\\n" .. ARGV[i + 2]
end
for priority, line in pairs(lines) do call("RPUSH", base .. ":ready:" .. priority, unpack(line)) end
call("HINCRBY", META, "ready", #ARGV / 3)
return #ARGV / 3
`,
    claim: `
local popped = {}
while #popped < 2 * want do
  local got = call("LMPOP", 3, base .. ":ready:2", base .. ":ready:1", base .. ":ready:0", "LEFT",
    "COUNT", 2 * want - #popped)
  if not got then break end
  for i = 1, #got[2] do popped[#popped + 1] = got[2][i] end
end
local claims, leases, reply = {}, {}, {}
local rest = "," .. now .. "," .. lease .. "," .. worker .. "\\n"
for i = 1, #popped, 2 do
  local id, record = popped[i], popped[i + 1]
  local attempt, fence = match(record, "^R,(%d+),(%d+)")
  local token = format("%.0f.%s", max(fence + 1, micros), nonce)
  claims[i], claims[i + 1] = id, "L," .. (attempt + 1) .. "," .. token .. rest .. record
  leases[i], leases[i + 1] = now + lease, id
  reply[#reply + 1] = id
  reply[#reply + 1] = record
  reply[#reply + 1] = token
end
call("HSET", base .. ":claims", unpack(claims))
call("ZADD", LEASES, unpack(leases))
count(-#popped / 2, #popped / 2, 0)
return reply
`,
    complete: `
local ids = {}
for i = 1, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
local found, ends = call("HMGET", base .. ":claims", unpack(ids)), call("ZMSCORE", LEASES, unpack(ids))
local fields, gone, done = {}, {}, {}
for i = 1, #ids do
  local attempt, token, record = match(found[i] or "", "^L,(%d+),([^,]+),[^\\n]*\\n(.*)$")
  if token == ARGV[3 * i - 1] and ends[i] and tonumber(ends[i]) > now then
    fields[#fields + 1] = ids[i]
    fields[#fields + 1] = "C," .. attempt .. "," .. token .. "," .. now .. "\\n" .. record
    fields[#fields + 1] = ids[i] .. "r"
    fields[#fields + 1] = ARGV[3 * i]
    gone[#gone + 1] = ids[i]
    done[#done + 1] = now
    done[#done + 1] = ids[i]
  end
end
if #gone == 0 then return 0 end
call("HDEL", base .. ":claims", unpack(gone))
call("HSET", TASKS, unpack(fields))
call("ZREM", LEASES, unpack(gone))
call("ZADD", DONE, unpack(done))
count(0, -#gone, #gone)
return #gone
`,
  },
);
