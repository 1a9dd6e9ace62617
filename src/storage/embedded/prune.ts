import { LIMITS } from "../../task/limits.ts";
import type { Retention } from "../../task/queue.ts";
import type { EpochMs, FinishedState, TaskState } from "../../task/task.ts";
import type { PruneReply } from "../storage.ts";
import type { Engine } from "./engine.ts";
import { forgetKeys } from "./idempotency.ts";
import type { QueueState } from "./queue-state.ts";
import type { SortedSlots } from "./sorted-slots.ts";
import { Step } from "./step.ts";

/** The finished tasks of a state that are next to go, oldest first. */
interface Line {
  readonly slots: number[];
  readonly keepMs: number;
  /** How many more must go for the bound on their number. */
  over: number;
  next: number;
}

/** Removes finished tasks that the retention no longer keeps, oldest first, and keys past their time. */
export function prune(engine: Engine, queue: QueueState, limit: number): PruneReply {
  const now = engine.clock.now();
  // A full step of them, whatever the limit on tasks: who asks for one task is not told of more for the sake of keys.
  const moreKeys = forgetKeys(queue, now, LIMITS.stepMax);
  const { retention } = queue.config;
  const lines = [
    lineOf(queue, "completed", retention.completedMs, retention.completedMax, limit),
    lineOf(queue, "cancelled", retention.completedMs, retention.completedMax, limit),
    lineOf(queue, "dead", retention.deadMs, retention.deadMax, limit),
  ];
  const gone: number[] = [];
  for (const line of lines) takeByAgeAndCount(engine, line, now, limit, gone);
  takeByBytes(engine, queue, lines, retention, now, limit, gone);
  remove(engine, queue, gone);
  return { pruned: gone.length, more: moreKeys || gone.length === limit };
}

function lineOf(queue: QueueState, state: FinishedState, keepMs: number, max: number, limit: number): Line {
  const slots: number[] = [];
  queue.finished[state].head(limit, slots);
  return { slots, keepMs: Math.max(keepMs, LIMITS.retentionMsMin), over: queue.count(state) - max, next: 0 };
}

function takeByAgeAndCount(engine: Engine, line: Line, now: EpochMs, limit: number, gone: number[]): void {
  while (line.next < line.slots.length && gone.length < limit) {
    const slot = line.slots[line.next] as number;
    const age = now - engine.table.time.get(slot);
    if (age < LIMITS.retentionMsMin || (age < line.keepMs && line.over <= 0)) return;
    gone.push(slot);
    line.next += 1;
    line.over -= 1;
  }
}

/** Over the bound on bytes the oldest finished of all three states goes first. */
function takeByBytes(
  engine: Engine,
  queue: QueueState,
  lines: readonly Line[],
  retention: Retention,
  now: EpochMs,
  limit: number,
  gone: number[],
): void {
  const { table } = engine;
  const bytesOf = (slot: number): number => table.payloadBytes.get(slot) + table.resultBytes.get(slot);
  let bytes = queue.finishedBytes;
  for (const slot of gone) bytes -= bytesOf(slot);
  while (bytes > retention.bytesMax && gone.length < limit) {
    let oldest: Line | undefined;
    let oldestAt = Infinity;
    for (const line of lines) {
      const slot = line.slots[line.next];
      if (slot === undefined || table.time.get(slot) >= oldestAt) continue;
      oldest = line;
      oldestAt = table.time.get(slot);
    }
    if (oldest === undefined || now - oldestAt < LIMITS.retentionMsMin) return;
    const slot = oldest.slots[oldest.next] as number;
    gone.push(slot);
    bytes -= bytesOf(slot);
    oldest.next += 1;
  }
}

/** Removes tasks of a state at an operator's wish, whatever the retention. */
export function purge(
  engine: Engine,
  queue: QueueState,
  state: Exclude<TaskState, "leased">,
  limit: number,
): PruneReply {
  const slots: number[] = [];
  if (state === "ready") queue.headOfReady(limit, slots);
  else placesOf(queue, state).head(limit, slots);
  remove(engine, queue, slots);
  return { pruned: slots.length, more: queue.count(state) > 0 };
}

function placesOf(queue: QueueState, state: "scheduled" | FinishedState): SortedSlots {
  return state === "scheduled" ? queue.scheduled : queue.finished[state];
}

function remove(engine: Engine, queue: QueueState, slots: readonly number[]): void {
  const step = new Step(engine, queue);
  for (const slot of slots) step.remove(slot);
  step.commit(true);
}
