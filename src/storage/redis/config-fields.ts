import type { QueueName } from "../../task/ids.ts";
import { DEFAULT_QUEUE_CONFIG, type QueueConfig, type QueueSnapshot } from "../../task/queue.ts";
import type { QueueChange } from "../storage.ts";
import { parseBackoff } from "./record.ts";

/** What the configure script answers. */
export type ConfigureReply = [
  now: number,
  nothing: string,
  woken: number,
  made: number,
  fields: string[],
  oldest: string[],
];

/** Fields and values of the queue's hash that a change sets; an empty value removes the field. */
export function changedFields({ config = {}, paused }: QueueChange): (string | number)[] {
  const { backoff, retention, maxDepth, maxAttempts, leaseMs } = config;
  const fields: (string | number)[] = [];
  const set = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) fields.push(name, value);
  };
  set("maxAttempts", maxAttempts);
  set("leaseMs", leaseMs);
  set("maxDepth", maxDepth === null ? "" : maxDepth);
  if (backoff !== undefined) {
    const { type, baseMs, capMs, jitter } = backoff;
    set("backoff", `${type?.charAt(0) ?? ""},${baseMs ?? ""},${capMs ?? ""},${jitter?.charAt(0) ?? ""}`);
  }
  for (const [name, value] of Object.entries(retention ?? {})) set(name, value);
  if (paused !== undefined) set("paused", paused ? 1 : "");
  return fields;
}

/** The queue as its hash tells it, or undefined when it was never made. */
export function snapshotOf(
  queue: QueueName,
  fields: readonly string[],
  oldestReady: readonly string[],
): QueueSnapshot | undefined {
  const meta = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) meta.set(fields[i] as string, fields[i + 1] as string);
  if (!meta.has("v")) return undefined;
  const count = (name: string): number => Number(meta.get(name) ?? 0);
  const oldest = Math.min(...oldestReady.map(Number));
  return {
    queue,
    paused: meta.get("paused") === "1",
    config: configOf(meta),
    counts: {
      scheduled: count("scheduled"),
      ready: count("ready"),
      leased: count("leased"),
      completed: count("completed"),
      dead: count("dead"),
      cancelled: count("cancelled"),
    },
    enqueued: count("enqueued"),
    pruned: count("pruned"),
    ...(Number.isFinite(oldest) && { oldestReadyAt: oldest }),
  };
}

function configOf(meta: ReadonlyMap<string, string>): QueueConfig {
  const number = (name: string, otherwise: number): number => Number(meta.get(name) ?? otherwise);
  const { maxAttempts, leaseMs, backoff, retention } = DEFAULT_QUEUE_CONFIG;
  const maxDepth = meta.get("maxDepth");
  const ownBackoff = meta.get("backoff");
  return {
    maxAttempts: number("maxAttempts", maxAttempts),
    backoff: ownBackoff === undefined ? backoff : parseBackoff(ownBackoff),
    leaseMs: number("leaseMs", leaseMs),
    maxDepth: maxDepth === undefined ? null : Number(maxDepth),
    retention: {
      completedMs: number("completedMs", retention.completedMs),
      completedMax: number("completedMax", retention.completedMax),
      deadMs: number("deadMs", retention.deadMs),
      deadMax: number("deadMax", retention.deadMax),
      bytesMax: number("bytesMax", retention.bytesMax),
    },
  };
}
