import type { QueueName } from "../../task/ids.ts";
import type { TaskState } from "../../task/task.ts";
import type { MoveOutcome } from "../storage.ts";
import { stateOfLetter, taskOf } from "./record.ts";

/** What the move script answers. */
export type MoveReply = [now: number, more: number, woken: number, words: string[], items: string[]];

/** What became of ids, and whether the caller is the one to wake. */
export interface Moved {
  readonly outcomes: MoveOutcome[];
  readonly woken: number;
}

/** Reads what the move script answers: a word for each id, and id, record, state, failures of each that moved. */
export function moveOutcomes(
  queue: QueueName,
  words: readonly string[],
  items: readonly string[],
): MoveOutcome[] {
  let at = 0;
  return words.map((word) => {
    if (word !== "M") return leftAsItWas(word);
    const [random, record, state, failures] = items.slice(at, at + 4) as [string, string, string, string];
    at += 4;
    return { kind: "moved", task: taskOf(queue, random, { record, state, failures }) };
  });
}

export function leftAsItWas(word: string): { kind: "wrong-state"; state: TaskState } | { kind: "not-found" } {
  return word === "N" ? { kind: "not-found" } : { kind: "wrong-state", state: stateOfLetter(word.charAt(1)) };
}
