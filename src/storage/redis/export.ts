import type { QueueName, TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { TaskState } from "../../task/task.ts";
import { exportPage, parseExportCursor } from "../export-cursor.ts";
import type { ExportPage, ExportRequest, StoredKey, StoredTask } from "../stored-task.ts";
import { cursorOf, parseCursor } from "./page.ts";
import type { StoredFields } from "./record.ts";
import { storedTaskOf } from "./stored.ts";

/** How an export reads a queue. */
export interface QueueReader {
  /** Runs the listing script. */
  list(args: readonly (string | number)[]): Promise<readonly (string | null)[]>;
  /** Of the keys that the queue remembers, by age. */
  keysFrom(first: number, count: number): Promise<readonly string[]>;
  /** What is remembered of keys. */
  entries(keys: readonly string[]): Promise<readonly (string | null)[]>;
}

/** One page of all that a queue keeps: the tasks of one state, or keys. At most 200 tasks, as a listing. */
export async function exportTasks(
  queue: QueueName,
  reader: QueueReader,
  request: ExportRequest,
): Promise<ExportPage> {
  const { chapter, cursor } = parseExportCursor(request.cursor);
  return chapter === "keys"
    ? keysPage(queue, reader, Number(cursor ?? 0), request.limit)
    : tasksPage(queue, reader, chapter, cursor, request);
}

async function tasksPage(
  queue: QueueName,
  reader: QueueReader,
  state: TaskState,
  from: string | undefined,
  { limit, bytesMax = LIMITS.bodyBytesMax }: ExportRequest,
): Promise<ExportPage> {
  const behind = from === undefined ? [] : parseCursor(from, state);
  const [first, second, ...items] = await reader.list([
    state,
    Math.min(limit, LIMITS.listMax),
    bytesMax,
    ...behind,
  ]);
  const tasks: StoredTask[] = [];
  for (let at = 0; at < items.length; at += 6) {
    const fields: StoredFields = {
      record: items[at + 1] as string,
      state: items[at + 2] ?? null,
      failures: items[at + 3] ?? null,
      result: items[at + 4] ?? null,
      expiresAt: items[at + 5] ?? null,
    };
    tasks.push(storedTaskOf(queue, items[at] as string, fields));
  }
  const cursor = first === "" ? undefined : cursorOf(state, first as string, second as string);
  return exportPage(state, { tasks: await withHashes(reader, queue, tasks) }, cursor);
}

/** Adds the payload's hash to tasks whose own key is remembered. */
async function withHashes(
  reader: QueueReader,
  queue: QueueName,
  tasks: readonly StoredTask[],
): Promise<readonly StoredTask[]> {
  const keys = tasks.flatMap(({ task }) => task.idempotencyKey ?? []);
  if (keys.length === 0) return tasks;
  const hashes = new Map<TaskId, string>();
  (await reader.entries(keys)).forEach((entry, i) => {
    const stored = storedKeyOf(queue, keys[i] as string, entry);
    if (stored !== undefined) hashes.set(stored.id, stored.payloadHash);
  });
  return tasks.map((stored) => {
    const payloadHash = hashes.get(stored.task.id);
    return payloadHash === undefined ? stored : { ...stored, payloadHash };
  });
}

async function keysPage(
  queue: QueueName,
  reader: QueueReader,
  from: number,
  limit: number,
): Promise<ExportPage> {
  const lines = (await reader.keysFrom(from, limit)).map(
    (line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)] as const,
  );
  const entries = lines.length === 0 ? [] : await reader.entries(lines.map(([, key]) => key));
  const keys = lines.flatMap(([until, key], i) => {
    const stored = storedKeyOf(queue, key, entries[i] ?? null);
    // A key that came again after its day has a line of its own further on.
    return stored === undefined || String(stored.expiresAt) !== until ? [] : stored;
  });
  return exportPage("keys", { keys }, lines.length < limit ? undefined : String(from + limit));
}

/** An entry of the keys: id, hash of the payload, end of its day. */
function storedKeyOf(queue: QueueName, key: string, entry: string | null): StoredKey | undefined {
  const [random, payloadHash, until] = entry?.split(" ") ?? [];
  if (payloadHash === undefined) return undefined;
  return { key, id: `${queue}~${random}` as TaskId, payloadHash, expiresAt: Number(until) };
}
