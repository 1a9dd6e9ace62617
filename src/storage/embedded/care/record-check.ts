import { RECORD, read } from "../records.ts";
import { FLAG, stateOfCode } from "../task-table.ts";

/** The shortest record of each kind, bytes; its texts come on top. */
const SHORTEST: Readonly<Record<number, number>> = {
  [RECORD.task]: 64,
  [RECORD.state]: 80,
  [RECORD.removed]: 24,
  [RECORD.key]: 68,
  [RECORD.queue]: 12,
  [RECORD.fences]: 16,
  [RECORD.oldest]: 16,
  [RECORD.boot]: 12,
};
const HASH_BYTES = 32;

/** What is wrong with the form of a record that must end before `limit`; undefined when all of it can be read. */
export function recordFault(from: Buffer, at: number, limit: number): string | undefined {
  if (at + 8 > limit) return "a record has no room";
  const kind = read.kind(from, at);
  const shortest = SHORTEST[kind];
  if (shortest === undefined) return `record kind ${kind} is unknown`;
  const end = at + read.length(from, at);
  if (end < at + shortest || end > limit) return "a record does not end where it should";
  try {
    return endOfTexts(from, at, kind, end) === end ? undefined : "a record is not as long as its texts";
  } catch (error) {
    return `a record cannot be read: ${(error as Error).message}`;
  }
}

/** Where the texts of a record end, having read the ones that have a form. */
function endOfTexts(from: Buffer, at: number, kind: number, end: number): number {
  switch (kind) {
    case RECORD.task:
      return endOfTask(from, at, end);
    case RECORD.state:
      return endOfState(from, at, end);
    case RECORD.key:
      return endOfText(from, at + 64, end);
    case RECORD.queue: {
      const textEnd = endOfText(from, at + 8, end);
      const { number, name, config } = read.queueRecord(from, at);
      if (!Number.isInteger(number) || typeof name !== "string" || typeof config !== "object")
        throw new Error("the queue has no name");
      return textEnd;
    }
    case RECORD.boot:
      return endOfText(from, at + 8, end);
    default:
      return end;
  }
}

function endOfTask(from: Buffer, at: number, end: number): number {
  let next = endOfText(from, at + 60, end);
  if (read.hasKey(from, at)) next = endOfText(from, next + HASH_BYTES, end);
  if (read.hasTags(from, at)) {
    JSON.parse(textAt(from, next));
    next = endOfText(from, next, end);
  }
  return next;
}

function endOfState(from: Buffer, at: number, end: number): number {
  if (stateOfCode(from[at + 5] as number) === undefined) throw new Error("the state is unknown");
  const flags = from[at + 24] as number;
  let next = at + 80;
  if ((flags & FLAG.worker) !== 0) next = endOfText(from, next, end);
  if ((flags & FLAG.history) !== 0) {
    const failures = next;
    next = endOfText(from, next, end);
    JSON.parse(textAt(from, failures));
    next = endOfText(from, next, end);
  }
  return (flags & FLAG.result) !== 0 ? endOfText(from, next, end) : next;
}

function endOfText(from: Buffer, at: number, end: number): number {
  if (at + 4 > end) throw new Error("a text has no length");
  const next = at + 4 + from.readUInt32LE(at);
  if (next > end) throw new Error("a text is longer than the record");
  return next;
}

function textAt(from: Buffer, at: number): string {
  return from.toString("utf8", at + 4, at + 4 + from.readUInt32LE(at));
}
