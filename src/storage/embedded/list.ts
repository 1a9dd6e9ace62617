import { InvalidRequestError } from "../../task/errors.ts";
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

/** One page of a state's tasks, in the order in which they leave it. O(log n + page). */
export function list(engine: Engine, queue: QueueState, request: ListRequest): ListPage {
  const { state, limit } = request;
  const from = request.cursor === undefined ? START : parseCursor(request.cursor, state);
  const slots: number[] = [];
  // One more than asked tells whether this page is the last.
  collect(queue, state, from, limit + 1, slots);
  const tasks: Task[] = [];
  let bytes = 0;
  for (const slot of slots.slice(0, limit)) {
    bytes += engine.table.payloadBytes.get(slot) + engine.table.resultBytes.get(slot);
    if (bytes > (request.bytesMax ?? LIMITS.bodyBytesMax) && tasks.length > 0) break;
    tasks.push(engine.view(slot));
  }
  if (tasks.length === slots.length) return { tasks };
  return { tasks, cursor: cursorAt(engine, slots[tasks.length - 1] as number, state) };
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

function cursorAt(engine: Engine, slot: number, state: TaskState): string {
  const { table } = engine;
  const order = table.order.get(slot);
  if (state === "scheduled") return `s0:${table.runAt.get(slot)}:${order}`;
  if (state === "leased") return `l0:${table.time.get(slot)}:${table.fence.get(slot)}`;
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
