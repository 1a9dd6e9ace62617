import { createHash } from "node:crypto";
import type { JsonText } from "../task/task.ts";

/**
 * The SHA-256 (hex) of a JSON value: the order of object keys, spaces and the spelling of numbers and
 * strings make no difference.
 *
 * Walks with a stack of its own, because a payload may nest as deep as its size allows, which recursion
 * does not survive.
 */
export function payloadHash(payload: JsonText): string {
  const hash = createHash("sha256");
  const work: unknown[] = [JSON.parse(payload)];
  while (work.length > 0) {
    const next = work.pop();
    if (next instanceof Text) hash.update(next.text);
    else if (Array.isArray(next)) pushArray(work, next);
    else if (typeof next === "object" && next !== null) pushObject(work, next as Record<string, unknown>);
    else hash.update(scalar(next));
  }
  return hash.digest("hex");
}

/** A piece of the canonical text between the values. */
class Text {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const COMMA = new Text(",");
const END_OF_ARRAY = new Text("]");
const END_OF_OBJECT = new Text("}");

/** Pushes an array's pieces last first, because the work is taken from the end. */
function pushArray(work: unknown[], array: readonly unknown[]): void {
  work.push(END_OF_ARRAY);
  for (let index = array.length - 1; index >= 0; index -= 1) {
    work.push(array[index]);
    if (index > 0) work.push(COMMA);
  }
  work.push(new Text("["));
}

function pushObject(work: unknown[], object: Readonly<Record<string, unknown>>): void {
  const keys = Object.keys(object).sort();
  work.push(END_OF_OBJECT);
  for (let index = keys.length - 1; index >= 0; index -= 1) {
    const key = keys[index] as string;
    work.push(object[key], new Text(`${index > 0 ? "," : ""}${JSON.stringify(key)}:`));
  }
  work.push(new Text("{"));
}

function scalar(value: unknown): string {
  // JSON can say numbers beyond the largest double; JSON.stringify would make them equal to null.
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return JSON.stringify(value);
}
