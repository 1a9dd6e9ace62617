import type { EpochMs, NewTask } from "../../task/task.ts";
import type { EnqueueOutcome } from "../storage.ts";
import type { Engine, TaskConstants } from "./engine.ts";
import { findKey } from "./idempotency.ts";
import type { QueueState, RememberedKey } from "./queue-state.ts";
import { BLANK_STATUS } from "./records.ts";
import { Step } from "./step.ts";
import { idWords, type TaskStatus } from "./task-table.ts";

/** Adds tasks: ready at the tail, scheduled when their time has not come, or found by their key (I8). */
export function enqueue(engine: Engine, queue: QueueState, tasks: readonly NewTask[]): EnqueueOutcome[] {
  const outcomes: EnqueueOutcome[] = new Array(tasks.length);
  const now = engine.clock.now();
  let from = 0;
  while (from < tasks.length) {
    const step = new Step(engine, queue);
    const to = plan(engine, queue, tasks, from, now, step, outcomes);
    step.commit(false);
    fillIn(engine, step, outcomes, from, to);
    from = to;
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
  const added = new Set<string>();
  const keys = new Set<string>();
  for (let i = from; i < tasks.length; i += 1) {
    const task = tasks[i] as NewTask;
    const key = task.idempotencyKey;
    if (added.has(task.id) || (key !== undefined && keys.has(key))) return i;
    const outcome = found(engine, queue, task, now) ?? fullness(engine, queue, added.size);
    if (outcome !== undefined) {
      outcomes[i] = outcome;
      continue;
    }
    added.add(task.id);
    if (key !== undefined) keys.add(key);
    addTask(queue, task, now, step);
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

function addTask(queue: QueueState, task: NewTask, now: EpochMs, step: Step): void {
  const { config } = queue;
  const priority = task.priority ?? 0;
  const runAt = Math.max(now, task.runAt ?? now + (task.delayMs ?? 0));
  const scheduled = runAt > now;
  const constants: TaskConstants = {
    id: task.id,
    payload: task.payload,
    priority,
    maxAttempts: task.maxAttempts ?? config.maxAttempts,
    backoff: task.backoff === undefined ? config.backoff : { ...config.backoff, ...task.backoff },
    createdAt: now,
    ...(task.idempotencyKey === undefined
      ? undefined
      : { idempotencyKey: task.idempotencyKey, payloadHash: task.payloadHash as string }),
    ...(task.tags === undefined ? undefined : { tags: task.tags }),
  };
  const [a, b, c] = idWords(task.id) as unknown as [number, number, number];
  const status: TaskStatus = {
    ...BLANK_STATUS,
    state: scheduled ? "scheduled" : "ready",
    runAt,
    order: scheduled ? queue.nextTie() : queue.placeAtTail(priority),
  };
  step.add({ a, b, c }, constants, status);
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

/** Gives the outcomes of the added tasks, which needed the step's commit. */
function fillIn(engine: Engine, step: Step, outcomes: EnqueueOutcome[], from: number, to: number): void {
  let next = 0;
  for (let i = from; i < to; i += 1) {
    if (outcomes[i] !== undefined) continue;
    outcomes[i] = { kind: "enqueued", task: engine.view(step.addedSlots[next] as number) };
    next += 1;
  }
}
