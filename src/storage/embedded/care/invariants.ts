import { setImmediate as turn } from "node:timers/promises";
import { LIMITS } from "../../../task/limits.ts";
import { isFinished, TASK_STATES } from "../../../task/task.ts";
import type { Engine } from "../engine.ts";
import type { QueueState } from "../queue-state.ts";
import { STATE_CODE, type TaskStatus } from "../task-table.ts";
import type { Loaded } from "./load.ts";
import { inOrder, placeOf } from "./place.ts";

/** After so many something is wrong throughout, and more sentences tell no more. */
const TOLD_MAX = 1_000;
const TURN_EVERY = 5_000;

export interface WalkOptions {
  readonly onProgress: (done: number, of: number) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads every task of a loaded store and holds it to what must be true of all of them. Returns a sentence for
 * each thing that is not; none for a sound store.
 */
export async function brokenInvariants(
  { engine, fenceEnd }: Loaded,
  { onProgress, signal }: WalkOptions,
): Promise<string[]> {
  const told: string[] = [];
  const places = new Places();
  const { table } = engine;
  for (let slot = 0; slot < table.rows && told.length < TOLD_MAX; slot += 1) {
    if (table.state.get(slot) !== 0) {
      const id = engine.idOf(slot);
      for (const fault of taskFaults(engine, slot, fenceEnd)) told.push(`task ${id}: ${fault}`);
      places.add(engine, slot);
    }
    if (slot % TURN_EVERY !== 0) continue;
    onProgress(slot, table.rows);
    await turn();
    signal?.throwIfAborted();
  }
  for (const queue of engine.queues) {
    for (const fault of queueFaults(engine, queue)) told.push(`queue ${queue.name}: ${fault}`);
  }
  return [...told, ...places.shared(engine)];
}

function* taskFaults(engine: Engine, slot: number, fenceEnd: number): Generator<string> {
  const status = engine.table.status(slot);
  yield* statusFaults(status, engine.table.maxAttempts.get(slot));
  if (status.fence >= fenceEnd)
    yield `its fence ${status.fence} was never given out (the end is ${fenceEnd})`;
  if (engine.table.priority.get(slot) > LIMITS.priorityMax) yield "its priority is above 9";
  try {
    const task = engine.view(slot);
    JSON.parse(task.payload);
    if (task.state === "completed" && task.result !== undefined) JSON.parse(task.result);
  } catch (error) {
    yield `it cannot be read: ${(error as Error).message}`;
  }
}

function* statusFaults(status: TaskStatus, maxAttempts: number): Generator<string> {
  const { state, attempt, releases, fence, time, leaseMs } = status;
  if (attempt > maxAttempts) yield `it is at attempt ${attempt} of ${maxAttempts}`;
  if (releases > LIMITS.releasesMax) yield `it was released ${releases} times`;
  if (state === "leased" && (fence === 0 || attempt === 0 || time === 0 || leaseMs === 0))
    yield "it is leased and was never claimed";
  if (isFinished(state) && time === 0) yield `it is ${state} and never finished`;
}

function* queueFaults(engine: Engine, queue: QueueState): Generator<string> {
  const tasks = TASK_STATES.reduce((sum, state) => sum + queue.count(state), 0);
  if (queue.enqueued !== tasks + queue.pruned)
    yield `${queue.enqueued} tasks were enqueued, and it has ${tasks} and has removed ${queue.pruned}`;
  for (const { key, slot, id } of queue.keys.values()) {
    const isHeld = slot === -1 ? id !== undefined : engine.table.state.get(slot) !== 0;
    if (!isHeld) yield `the idempotency key ${JSON.stringify(key)} names no task`;
  }
}

/** The places of tasks in their queue's order: no two tasks may stand in one. */
class Places {
  readonly #slots = new Map<number, number[]>();

  add({ table }: Engine, slot: number): void {
    const state = table.state.get(slot);
    const line =
      (table.queue.get(slot) * 8 + state) * 16 + (state === STATE_CODE.ready ? table.priority.get(slot) : 0);
    const slots = this.#slots.get(line);
    if (slots === undefined) this.#slots.set(line, [slot]);
    else slots.push(slot);
  }

  shared(engine: Engine): string[] {
    const told: string[] = [];
    for (const slots of this.#slots.values()) {
      const places = slots.map((slot) => placeOf(engine, slot)).sort(inOrder);
      for (const [index, place] of places.entries()) {
        const before = places[index - 1];
        if (before === undefined || inOrder(before, place) !== 0) continue;
        told.push(`tasks ${engine.idOf(before.slot)} and ${engine.idOf(place.slot)} stand in one place`);
      }
    }
    return told;
  }
}
