import type { TaskState } from "../../task/task.ts";
import { exportPage, parseExportCursor } from "../export-cursor.ts";
import type { ExportPage, ExportRequest, StoredKey, StoredTask } from "../stored-task.ts";
import type { Engine } from "./engine.ts";
import { findKey } from "./idempotency.ts";
import { pageOf } from "./list.ts";
import type { QueueState, RememberedKey } from "./queue-state.ts";
import { leaseToken } from "./task-table.ts";

/** One page of all that a queue keeps: the tasks of one state, or keys. O(log n + page). */
export function exportTasks(engine: Engine, queue: QueueState, request: ExportRequest): ExportPage {
  const { chapter, cursor } = parseExportCursor(request.cursor);
  return chapter === "keys"
    ? keysPage(engine, queue, Number(cursor ?? 0), request.limit)
    : tasksPage(engine, queue, chapter, cursor, request);
}

function tasksPage(
  engine: Engine,
  queue: QueueState,
  state: TaskState,
  from: string | undefined,
  { limit, bytesMax }: ExportRequest,
): ExportPage {
  const { slots, cursor } = pageOf(engine, queue, {
    state,
    limit,
    ...(from !== undefined && { cursor: from }),
    ...(bytesMax !== undefined && { bytesMax }),
  });
  return exportPage(state, { tasks: slots.map((slot) => storedTask(engine, queue, slot)) }, cursor);
}

function storedTask(engine: Engine, queue: QueueState, slot: number): StoredTask {
  const { backoff, idempotencyKey } = engine.constants(slot);
  const { state, releases, fence, nonce } = engine.table.status(slot);
  const key = idempotencyKey === undefined ? undefined : findKey(queue, idempotencyKey, engine.clock.now());
  return {
    task: engine.view(slot),
    backoff,
    ...(key?.slot === slot && { payloadHash: key.payloadHash }),
    releases,
    fence,
    ...((state === "leased" || state === "completed") && { token: leaseToken(fence, nonce) }),
  };
}

/** Where the last export of a queue's keys stopped: going on there is O(page), finding the place anew O(keys). */
interface Walk {
  readonly keys: Iterator<RememberedKey>;
  at: number;
}
const walks = new WeakMap<QueueState, Walk>();

function keysPage(engine: Engine, queue: QueueState, from: number, limit: number): ExportPage {
  const walk = walkFrom(queue, from);
  const keys: StoredKey[] = [];
  while (keys.length < limit) {
    const { value: entry, done } = walk.keys.next();
    if (done === true) {
      walks.delete(queue);
      return exportPage("keys", { keys }, undefined);
    }
    walk.at += 1;
    const { key, payloadHash, expiresAt, slot } = entry;
    keys.push({ key, id: entry.id ?? engine.idOf(slot), payloadHash, expiresAt });
  }
  return exportPage("keys", { keys }, String(walk.at));
}

function walkFrom(queue: QueueState, at: number): Walk {
  const known = walks.get(queue);
  if (known?.at === at && at > 0) return known;
  const walk: Walk = { keys: queue.keys.values(), at: 0 };
  for (; walk.at < at; walk.at += 1) if (walk.keys.next().done === true) break;
  walks.set(queue, walk);
  return walk;
}
