import { InvalidRequestError } from "../../task/errors.ts";
import type { TaskId } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { Task, TaskState } from "../../task/task.ts";
import type { ListPage, ListRequest } from "../storage.ts";
import type { Engine } from "./engine.ts";
import { PRIORITIES, type QueueState } from "./queue-state.ts";

/** Where a page ended: the priority (ready only), and the key and tie of its last task. */
interface Position {
  readonly priority: number;
  readonly key: number;
  readonly tie: number;
}

const START: Position = { priority: PRIORITIES - 1, key: -Infinity, tie: -Infinity };
const CURSOR = /^([srlcdx])(\d):(-?\d+):(-?\d+)$/;
const LETTER: Readonly<Record<TaskState, string>> = {
  scheduled: "s",
  ready: "r",
  leased: "l",
  completed: "c",
  dead: "d",
  cancelled: "x",
};

/** Tasks by id; undefined for those that are not there. */
export function get(engine: Engine, queue: QueueState, ids: readonly TaskId[]): (Task | undefined)[] {
  return ids.map((id) => {
    const slot = engine.find(queue, id);
    return slot === -1 ? undefined : engine.view(slot);
  });
}

/** One page of a state's tasks, in the order in which they leave it. O(log n + page). */
export function list(engine: Engine, queue: QueueState, request: ListRequest): ListPage {
  const { slots, cursor } = pageOf(engine, queue, request);
  const tasks = slots.map((slot) => engine.view(slot));
  return cursor === undefined ? { tasks } : { tasks, cursor };
}

/** The slots of one page. */
export function pageOf(
  engine: Engine,
  queue: QueueState,
  request: ListRequest,
): { readonly slots: readonly number[]; readonly cursor: string | undefined } {
  const { state, limit, bytesMax = LIMITS.bodyBytesMax } = request;
  const from = request.cursor === undefined ? START : parseCursor(request.cursor, state);
  const slots: number[] = [];
  // One more than asked tells whether this page is the last.
  collect(queue, state, from, limit + 1, slots);
  let size = 0;
  let bytes = 0;
  for (; size < Math.min(limit, slots.length); size += 1) {
    const slot = slots[size] as number;
    bytes += engine.table.payloadBytes.get(slot) + engine.table.resultBytes.get(slot);
    if (bytes > bytesMax && size > 0) break;
  }
  if (size === slots.length) return { slots, cursor: undefined };
  slots.length = size;
  return { slots, cursor: cursorAt(engine, queue, slots[size - 1] as number, state) };
}

function collect(queue: QueueState, state: TaskState, from: Position, count: number, into: number[]): void {
  if (state === "scheduled") queue.scheduled.after(from.key, from.tie, count, into);
  else if (state === "leased") queue.leased.after(from.key, from.tie, count, into);
  else if (state !== "ready") queue.finished[state].after(from.key, 0, count, into);
  else {
    for (let priority = from.priority; priority >= 0 && into.length < count; priority -= 1) {
      const after = priority === from.priority ? from.key : -Infinity;
      queue.ready(priority).after(after, 0, count - into.length, into);
    }
  }
}

function cursorAt(engine: Engine, queue: QueueState, slot: number, state: TaskState): string {
  const { table } = engine;
  const order = table.order.get(slot);
  if (state === "scheduled") return `s0:${table.runAt.get(slot)}:${order}`;
  if (state === "leased") return `l0:${table.time.get(slot)}:${queue.leaseTie(slot)}`;
  return `${LETTER[state]}${state === "ready" ? table.priority.get(slot) : 0}:${order}:0`;
}

function parseCursor(cursor: string, state: TaskState): Position {
  const match = CURSOR.exec(cursor);
  if (match === null || match[1] !== LETTER[state]) {
    throw new InvalidRequestError(`Expected \`cursor\` from a page of the same state, got "${cursor}"`, {
      details: { field: "cursor", bound: "from the page before", value: cursor },
    });
  }
  return { priority: Number(match[2]), key: Number(match[3]), tie: Number(match[4]) };
}
