import { InvalidRequestError } from "../../task/errors.ts";
import type { QueueName } from "../../task/ids.ts";
import type { Task, TaskState } from "../../task/task.ts";
import type { ListPage } from "../storage.ts";
import { taskFrom } from "./record.ts";

const CURSOR = /^([srlcdx])\.(\d+)\.(-?[A-Za-z0-9_-]+)$/;
const LETTER: Readonly<Record<TaskState, string>> = {
  scheduled: "s",
  ready: "r",
  leased: "l",
  completed: "c",
  dead: "d",
  cancelled: "x",
};

/** Reads what the list script answers: where the page ended, and id, record and four more of each task. */
export function pageOf(queue: QueueName, state: TaskState, reply: readonly (string | null)[]): ListPage {
  const [first, second, ...items] = reply;
  const tasks: Task[] = [];
  for (let at = 0; at < items.length; at += 6) {
    tasks.push(taskFrom(queue, items[at] as string, items.slice(at + 1, at + 6)));
  }
  return first === "" ? { tasks } : { tasks, cursor: cursorOf(state, first as string, second as string) };
}

/** Where a page ended: of ready tasks priority and seq, else score and member. */
export function cursorOf(state: TaskState, first: string, second: string): string {
  return `${LETTER[state]}.${first}.${second}`;
}

/** @throws {InvalidRequestError} for one that no page of this state ended with. */
export function parseCursor(cursor: string, state: TaskState): [first: string, second: string] {
  const match = CURSOR.exec(cursor);
  if (
    match === null ||
    match[1] !== LETTER[state] ||
    (state === "ready" && !/^-?\d+$/.test(match[3] as string))
  ) {
    throw new InvalidRequestError(`Expected \`cursor\` from a page of the same state, got "${cursor}"`, {
      details: { field: "cursor", bound: "from the page before", value: cursor },
    });
  }
  return [match[2] as string, match[3] as string];
}
