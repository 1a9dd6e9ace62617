import { InvalidRequestError } from "../../task/errors.ts";
import { TASK_STATES, type TaskState } from "../../task/task.ts";
import type { ExportPage, ExportRequest, StoredKey, StoredTask } from "../stored-task.ts";
import type { Engine } from "./engine.ts";
import { pageOf } from "./list.ts";
import type { QueueState, RememberedKey } from "./queue-state.ts";
import { leaseToken } from "./task-table.ts";

/** What is exported in turn; a cursor begins with one of them. */
const CHAPTERS: readonly (TaskState | "keys")[] = [...TASK_STATES, "keys"];
const CURSOR = /^([a-z]+)\/([0-9a-z:-]*)$/;

/** One page of all that a queue keeps: the tasks of one state, or keys. O(log n + page). */
export function exportTasks(engine: Engine, queue: QueueState, request: ExportRequest): ExportPage {
  const { chapter, cursor } = position(request.cursor);
  const page =
    chapter === "keys"
      ? keysPage(engine, queue, cursor, request.limit)
      : tasksPage(engine, queue, chapter, cursor, request);
  const next = page.cursor ?? "";
  if (next !== "") return { ...page, cursor: `${chapter}/${next}` };
  const following = CHAPTERS[CHAPTERS.indexOf(chapter) + 1];
  const { keys, tasks } = page;
  return following === undefined ? { keys, tasks } : { keys, tasks, cursor: `${following}/` };
}

function position(cursor: string | undefined): { chapter: TaskState | "keys"; cursor: string } {
  const [, name, rest] = CURSOR.exec(cursor ?? `${CHAPTERS[0]}/`) ?? [];
  const chapter = CHAPTERS.find((known) => known === name);
  if (chapter === undefined || (chapter === "keys" && !/^\d{0,15}$/.test(rest as string))) {
    throw new InvalidRequestError(`Expected \`cursor\` from the page before, got ${JSON.stringify(cursor)}`, {
      details: { field: "cursor", bound: "from the page before", value: cursor },
    });
  }
  return { chapter, cursor: rest as string };
}

function tasksPage(
  engine: Engine,
  queue: QueueState,
  state: TaskState,
  cursor: string,
  { limit, bytesMax }: ExportRequest,
): ExportPage {
  const { slots, cursor: next } = pageOf(engine, queue, {
    state,
    limit,
    ...(cursor !== "" && { cursor }),
    ...(bytesMax !== undefined && { bytesMax }),
  });
  const tasks = slots.map((slot) => storedTask(engine, slot));
  return { keys: [], tasks, ...(next !== undefined && { cursor: next }) };
}

function storedTask(engine: Engine, slot: number): StoredTask {
  const { backoff, payloadHash } = engine.constants(slot);
  const { state, releases, fence, nonce } = engine.table.status(slot);
  return {
    task: engine.view(slot),
    backoff,
    ...(payloadHash !== undefined && { payloadHash }),
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

function keysPage(engine: Engine, queue: QueueState, cursor: string, limit: number): ExportPage {
  const walk = walkFrom(queue, Number(cursor));
  const keys: StoredKey[] = [];
  while (keys.length < limit) {
    const { value: entry, done } = walk.keys.next();
    if (done === true) {
      walks.delete(queue);
      return { keys, tasks: [] };
    }
    walk.at += 1;
    const { key, payloadHash, expiresAt, slot } = entry;
    keys.push({ key, id: entry.id ?? engine.idOf(slot), payloadHash, expiresAt });
  }
  return { keys, tasks: [], cursor: String(walk.at) };
}

function walkFrom(queue: QueueState, at: number): Walk {
  const known = walks.get(queue);
  if (known?.at === at && at > 0) return known;
  const walk: Walk = { keys: queue.keys.values(), at: 0 };
  for (; walk.at < at; walk.at += 1) if (walk.keys.next().done === true) break;
  walks.set(queue, walk);
  return walk;
}
