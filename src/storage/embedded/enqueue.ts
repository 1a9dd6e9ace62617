import type { TaskId } from "../../task/ids.ts";
import type { EpochMs, NewTask, Task } from "../../task/task.ts";
import type { EnqueueOutcome } from "../storage.ts";
import type { Engine } from "./engine.ts";
import { findKey } from "./idempotency.ts";
import type { QueueState, RememberedKey } from "./queue-state.ts";
import { newStatus, type TaskConstants } from "./records.ts";
import { Room } from "./room.ts";
import { Step } from "./step.ts";
import { idWords } from "./task-table.ts";
import { newTask } from "./task-view.ts";

/** Adds tasks: ready at the tail, scheduled when their time has not come, or found by their key (I8). */
export function enqueue(engine: Engine, queue: QueueState, tasks: readonly NewTask[]): EnqueueOutcome[] {
  const now = engine.clock.now();
  const step = new Step(engine, queue);
  const planned = tasks.length > 1 ? new Planned() : undefined;
  const room = new Room(engine, queue);
  const outcomes = tasks.map((wanted): EnqueueOutcome => {
    const known = planned?.find(wanted) ?? found(engine, queue, wanted, now) ?? room.take(wanted);
    if (known !== undefined) return known;
    const task = addTask(queue, wanted, now, step);
    planned?.add(wanted, task);
    return { kind: "enqueued", task };
  });
  step.commit(false);
  return outcomes;
}

/** The tasks that the call itself adds: an id or a key may come twice in it. */
class Planned {
  readonly #byId = new Map<TaskId, Task>();
  readonly #byKey = new Map<string, { readonly payloadHash: string | undefined; readonly task: Task }>();

  add(wanted: NewTask, task: Task): void {
    this.#byId.set(wanted.id, task);
    const { idempotencyKey: key, payloadHash } = wanted;
    if (key !== undefined) this.#byKey.set(key, { payloadHash, task });
  }

  find(wanted: NewTask): EnqueueOutcome | undefined {
    const sent = this.#byId.get(wanted.id);
    if (sent !== undefined) return { kind: "enqueued", task: sent };
    const known = wanted.idempotencyKey === undefined ? undefined : this.#byKey.get(wanted.idempotencyKey);
    if (known === undefined) return undefined;
    const { task, payloadHash } = known;
    return payloadHash === wanted.payloadHash
      ? { kind: "deduplicated", task }
      : { kind: "conflict", id: task.id };
  }
}

/** A task that is there already: sent again with its id, or with its key. */
function found(engine: Engine, queue: QueueState, task: NewTask, now: EpochMs): EnqueueOutcome | undefined {
  const slot = engine.find(queue, task.id);
  if (slot !== -1) return { kind: "enqueued", task: engine.view(slot) };
  const known = task.idempotencyKey === undefined ? undefined : findKey(queue, task.idempotencyKey, now);
  return known === undefined ? undefined : foundByKey(engine, known, task);
}

function addTask(queue: QueueState, task: NewTask, now: EpochMs, step: Step): Task {
  const constants = constantsOf(queue, task, now);
  const runAt = Math.max(now, task.runAt ?? now + (task.delayMs ?? 0));
  const scheduled = runAt > now;
  const status = newStatus(
    scheduled ? "scheduled" : "ready",
    runAt,
    scheduled ? queue.nextTie() : queue.placeAtTail(constants.priority),
  );
  const [a, b, c] = idWords(task.id) as unknown as [number, number, number];
  step.add({ a, b, c }, constants, status);
  return newTask(queue.name, constants, status);
}

function constantsOf(queue: QueueState, task: NewTask, now: EpochMs): TaskConstants {
  const { config } = queue;
  const constants: { -readonly [K in keyof TaskConstants]: TaskConstants[K] } = {
    id: task.id,
    payload: task.payload,
    priority: task.priority ?? 0,
    maxAttempts: task.maxAttempts ?? config.maxAttempts,
    backoff: task.backoff === undefined ? config.backoff : { ...config.backoff, ...task.backoff },
    createdAt: now,
  };
  if (task.idempotencyKey !== undefined) {
    constants.idempotencyKey = task.idempotencyKey;
    constants.payloadHash = task.payloadHash as string;
  }
  if (task.tags !== undefined) constants.tags = task.tags;
  return constants;
}

function foundByKey(engine: Engine, known: RememberedKey, task: NewTask): EnqueueOutcome {
  const id = known.id ?? engine.idOf(known.slot);
  if (known.payloadHash !== task.payloadHash) return { kind: "conflict", id };
  return known.slot === -1 ? { kind: "pruned", id } : { kind: "deduplicated", task: engine.view(known.slot) };
}
