import type { EpochMs, NewTask, Task } from "../../task/task.ts";
import type { EnqueueOutcome } from "../storage.ts";
import { type Engine, newTask, type TaskConstants } from "./engine.ts";
import { findKey } from "./idempotency.ts";
import type { QueueState, RememberedKey } from "./queue-state.ts";
import { newStatus } from "./records.ts";
import { Step } from "./step.ts";
import { idWords } from "./task-table.ts";

/** Adds tasks: ready at the tail, scheduled when their time has not come, or found by their key (I8). */
export function enqueue(engine: Engine, queue: QueueState, tasks: readonly NewTask[]): EnqueueOutcome[] {
  const outcomes: EnqueueOutcome[] = new Array(tasks.length);
  const now = engine.clock.now();
  let from = 0;
  while (from < tasks.length) {
    const step = new Step(engine, queue);
    from = plan(engine, queue, tasks, from, now, step, outcomes);
    step.commit(false);
  }
  return outcomes;
}

/** Plans tasks from `from` on; ends before an id or key that the step itself adds, so that the next step finds it. */
function plan(
  engine: Engine,
  queue: QueueState,
  tasks: readonly NewTask[],
  from: number,
  now: EpochMs,
  step: Step,
  outcomes: EnqueueOutcome[],
): number {
  const ids = new Set<string>();
  let added = 0;
  for (let i = from; i < tasks.length; i += 1) {
    const task = tasks[i] as NewTask;
    const key = task.idempotencyKey;
    if (ids.has(task.id) || (key !== undefined && ids.has(key))) return i;
    const outcome = found(engine, queue, task, now) ?? fullness(engine, queue, added);
    if (outcome !== undefined) {
      outcomes[i] = outcome;
      continue;
    }
    if (tasks.length > 1) ids.add(task.id);
    // Among the ids: a key that reads like one only splits the step.
    if (key !== undefined) ids.add(key);
    outcomes[i] = { kind: "enqueued", task: addTask(queue, task, now, step) };
    added += 1;
  }
  return tasks.length;
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

function fullness(engine: Engine, queue: QueueState, added: number): EnqueueOutcome | undefined {
  const { maxDepth } = queue.config;
  if (maxDepth !== null && queue.depth + added >= maxDepth) {
    return { kind: "queue-full", depth: queue.depth + added, limit: maxDepth };
  }
  const { tasksMax } = engine.options;
  const tasks = engine.table.size + added;
  return tasks >= tasksMax ? { kind: "queue-full", depth: tasks, limit: tasksMax } : undefined;
}
