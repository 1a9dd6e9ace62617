import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import type { Asked, Call, Refusal, Reply } from "./call.ts";
import { moment } from "./moment.ts";

/** A line of a history's file: a call begins, or ends. `n` numbers the calls of the file. */
type Line =
  | { readonly n: number; readonly who: string; readonly at: number; readonly asked: Asked }
  | { readonly n: number; readonly at: number; readonly reply?: Reply; readonly error?: Refusal };

/**
 * Writes the calls of one process to a file, each line at once, so that what the process had done is known
 * whenever it is killed.
 */
export class Recorder {
  readonly #file: number;
  #count = 0;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  /** Begins a call; the answer is the way to end it. */
  invoked(who: string, asked: Asked): (end: { reply: Reply } | { error: Refusal }) => void {
    this.#count += 1;
    const n = this.#count;
    this.#write({ n, who, at: moment(), asked });
    return (end) => this.#write({ n, at: moment(), ...end });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(line: Line): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}

/** The calls of all files together, in the order of their beginnings. */
export function readHistory(paths: readonly string[]): Call[] {
  return paths.flatMap(readFile).sort((a, b) => a.invoked - b.invoked);
}

function readFile(path: string): Call[] {
  const calls = new Map<number, Call>();
  // The last line of a process that was killed may be cut.
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  for (const text of lines) {
    const line = JSON.parse(text) as Line;
    if ("asked" in line) {
      calls.set(line.n, { who: line.who, invoked: line.at, asked: line.asked });
      continue;
    }
    const { n, at, ...end } = line;
    calls.set(n, { ...(calls.get(n) as Call), answered: at, ...end });
  }
  return [...calls.values()];
}
