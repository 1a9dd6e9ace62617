import { InvalidRequestError } from "../../task/errors.ts";
import type { TaskState } from "../../task/task.ts";

const CURSOR = /^([srlcdx])\.(\d+)\.(-?[A-Za-z0-9_-]+)$/;
const LETTER: Readonly<Record<TaskState, string>> = {
  scheduled: "s",
  ready: "r",
  leased: "l",
  completed: "c",
  dead: "d",
  cancelled: "x",
};

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
