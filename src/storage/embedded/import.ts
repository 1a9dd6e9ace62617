import { StorageUnavailableError } from "../../task/errors.ts";
import type { TaskId } from "../../task/ids.ts";
import type { Lease, Task } from "../../task/task.ts";
import type { ImportBatch, ImportReply, StoredKey, StoredTask } from "../stored-task.ts";
import type { Engine } from "./engine.ts";
import { COST, keyCost } from "./memory.ts";
import type { QueueState } from "./queue-state.ts";
import { type Details, type IdWords, newStatus, type TaskConstants } from "./records.ts";
import { Step } from "./step.ts";
import { FLAG, idWords, type TaskStatus } from "./task-table.ts";

/** Takes over tasks, keys and a total from another store, in one step; what is there already stays as it is. */
export function importTasks(engine: Engine, queue: QueueState, batch: ImportBatch): ImportReply {
  const step = new Step(engine, queue);
  if (!engine.knows(queue)) step.configure({});
  if (batch.pruned !== undefined) step.setPruned(batch.pruned);
  const tasks = missing(engine, queue, batch.tasks ?? []);
  refuseWhenFull(engine, tasks, batch.keys ?? []);
  // Above all fences that the other store gave out: of these tasks, every later claim must have a greater one (I2).
  engine.fences.exceed(tasks.reduce((most, { fence }) => Math.max(most, fence), 0));
  for (const stored of tasks) addTask(queue, stored, step);
  for (const key of batch.keys ?? []) rememberKey(engine, queue, key, step);
  step.commit(false);
  return { imported: tasks.length };
}

function missing(engine: Engine, queue: QueueState, tasks: readonly StoredTask[]): readonly StoredTask[] {
  const seen = new Set<TaskId>();
  return tasks.filter(({ task: { id } }) => {
    const isNew = !seen.has(id) && engine.find(queue, id) === -1;
    seen.add(id);
    return isNew;
  });
}

function refuseWhenFull(engine: Engine, tasks: readonly StoredTask[], keys: readonly StoredKey[]): void {
  const { tasksMax, memoryBytesMax } = engine.options;
  if (engine.table.size + tasks.length > tasksMax) {
    throw new StorageUnavailableError(
      `The store holds at most ${tasksMax} tasks; a larger bound (DIBS_TASKS_MAX) makes room for more`,
    );
  }
  let bytes = engine.memory.bytes + tasks.length * COST.task;
  for (const { task } of tasks) bytes += task.idempotencyKey === undefined ? 0 : keyCost(task.idempotencyKey);
  for (const { key } of keys) bytes += keyCost(key);
  if (bytes <= memoryBytesMax) return;
  throw new StorageUnavailableError(
    `The tasks and keys of the store would take about ${bytes} bytes of memory, the limit is ${memoryBytesMax}; a larger one (DIBS_MEMORY_BYTES_MAX, and a heap for it) makes room for more`,
  );
}

function addTask(queue: QueueState, stored: StoredTask, step: Step): void {
  const status = statusOf(queue, stored);
  const details = detailsOf(stored.task);
  status.flags = flagsOf(stored.task, details);
  // A task that nobody ever claimed is told by its task record alone, as after an enqueue.
  const isFresh =
    (status.state === "ready" || status.state === "scheduled") &&
    stored.fence === 0 &&
    status.flags === 0 &&
    status.attempt === 0 &&
    status.releases === 0;
  step.add(words(stored.task.id), constantsOf(stored), status, isFresh ? undefined : details);
}

function constantsOf({ task, backoff, payloadHash }: StoredTask): TaskConstants {
  const { id, payload, priority, maxAttempts, createdAt, idempotencyKey, tags } = task;
  const key =
    idempotencyKey === undefined ? undefined : { idempotencyKey, payloadHash: payloadHash ?? NO_HASH };
  return { id, payload, priority, maxAttempts, backoff, createdAt, ...key, ...(tags && { tags }) };
}

/** Of a key that is not remembered any more: nobody will compare it. */
const NO_HASH = "0".repeat(64);

function statusOf(queue: QueueState, { task, releases, fence, token }: StoredTask): TaskStatus {
  const nonce = token === undefined ? 0 : Number(token.slice(token.indexOf(".") + 1));
  const past = { attempt: task.attempt, releases, fence, nonce };
  switch (task.state) {
    case "ready":
      return { ...newStatus("ready", task.runAt, queue.placeAtTail(task.priority)), ...past };
    case "scheduled":
      return { ...newStatus("scheduled", task.runAt, queue.nextTie()), ...past };
    case "leased": {
      const { ms, claimedAt, expiresAt } = task.lease;
      const status = { ...newStatus("ready", task.runAt, queue.nextMovedLease()), ...past };
      return { ...status, state: "leased", leaseMs: ms, claimedAt, time: expiresAt };
    }
    default: {
      const status = { ...newStatus("ready", task.runAt, queue.nextFinish()), ...past };
      return { ...status, state: task.state, time: task.finishedAt };
    }
  }
}

function detailsOf(task: Task): Details {
  const lease: Lease | undefined = task.state === "leased" ? task.lease : undefined;
  const result = task.state === "completed" ? task.result : undefined;
  return {
    ...(lease?.worker !== undefined && { worker: lease.worker }),
    ...(task.failures.length > 0 && { failures: task.failures }),
    ...(task.lastError !== undefined && { lastError: task.lastError }),
    ...(result !== undefined && { result }),
  };
}

function flagsOf(task: Task, { worker, failures, lastError, result }: Details): number {
  return (
    (worker === undefined ? 0 : FLAG.worker) |
    (failures === undefined && lastError === undefined ? 0 : FLAG.history) |
    (result === undefined ? 0 : FLAG.result) |
    (task.state === "dead" && task.deadReason === "refused" ? FLAG.refused : 0)
  );
}

/** Left as it is when the queue remembers the key for as long or longer, or has its task. */
function rememberKey(engine: Engine, queue: QueueState, stored: StoredKey, step: Step): void {
  const { key, id, payloadHash, expiresAt } = stored;
  const known = queue.keys.get(key);
  if (known !== undefined && known.expiresAt >= expiresAt) return;
  if (known !== undefined && known.slot !== -1 && engine.idOf(known.slot) === id) return;
  step.remember(words(id), { key, payloadHash, expiresAt });
}

function words(id: TaskId): IdWords {
  const [a, b, c] = idWords(id) as unknown as [number, number, number];
  return { a, b, c };
}
