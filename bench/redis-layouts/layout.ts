import { createHash } from "node:crypto";
import type { Script } from "../../src/storage/redis/link/script.ts";

/** One way to lay tasks out in Redis, as three small scripts that take and answer the same. */
export interface Layout {
  readonly name: string;
  /** What it cannot do that the engine's contract asks for. */
  readonly lacks: string;
  /** ARGV: id, priority 0 to 2, payload of each task. */
  readonly enqueue: Script;
  /** ARGV: how many, lease in ms, nonce, worker. Reply: id, record, token of each task. */
  readonly claim: Script;
  /** ARGV: id, token, result of each task. Reply: how many were completed. */
  readonly complete: Script;
  /** Commands that prepare an empty queue. */
  readonly prepare?: readonly (readonly [name: string, ...args: string[]])[];
}

/** The stem of all keys of a layout's queue. */
export const BASE = "layout:{bench}";

/** A claim that never was leaves no state; its fence is the time, and each later one is above the one before. */
const PRELUDE = `#!lua flags=allow-oom
local call, match, format, max = redis.call, string.match, string.format, math.max
local base = KEYS[1]
local META, TASKS, LEASES, DONE = base .. ":meta", base .. ":tasks", base .. ":leases", base .. ":completed"
local time = call("TIME")
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
`;

/** For the scripts of claims and completions: the queue's own numbers, read and written in one call each. */
const COUNTERS = `
local numbers = call("HMGET", META, "paused", "ready", "leased", "completed")
local function count(ready, leased, completed)
  call("HSET", META, "ready", (numbers[2] or 0) + ready, "leased", (numbers[3] or 0) + leased,
    "completed", (numbers[4] or 0) + completed)
end
`;

const CLAIM = `
local want = math.min(tonumber(ARGV[1]), tonumber(numbers[2] or 0))
if numbers[1] == "1" or want == 0 then return {} end
local lease, nonce, worker = tonumber(ARGV[2]), ARGV[3], ARGV[4]
`;

export function layout(
  name: string,
  lacks: string,
  sources: { readonly enqueue: string; readonly claim: string; readonly complete: string },
  prepare: Layout["prepare"] = [],
): Layout {
  return {
    name,
    lacks,
    enqueue: script("enqueue", PRELUDE + sources.enqueue),
    claim: script("claim", PRELUDE + COUNTERS + CLAIM + sources.claim),
    complete: script("complete", PRELUDE + COUNTERS + sources.complete),
    prepare,
  };
}

function script(name: string, source: string): Script {
  return { name, source, sha: createHash("sha1").update(source).digest("hex") };
}
