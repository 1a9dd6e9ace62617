import { readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { type Moment, moment } from "../history/moment.ts";

const SAMPLE_MS = 20;

/** Watches the append-only file of a Redis grow, to cut it back as a loss of power would. */
export class AppendOnlyFile {
  readonly #folder: string;
  readonly #sizes: { readonly at: Moment; readonly path: string; readonly size: number }[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(folder: string) {
    this.#folder = join(folder, "appendonlydir");
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** Takes from it what was written after the moment; the server must not run. Returns from when on it is gone. */
  cutBack(after: Moment): Moment {
    const kept = this.#sizes.findLast(({ at }) => at <= after);
    if (kept === undefined) throw new Error("The append-only file is younger than that");
    truncateSync(kept.path, kept.size);
    // Only what came before is told of it from now on.
    this.#sizes.splice(this.#sizes.indexOf(kept) + 1);
    return kept.at;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    const at = moment();
    const path = this.#newest();
    this.#sizes.push({ at, path, size: statSync(path).size });
  }

  /** The part that is appended to; there are more only after a rewrite. */
  #newest(): string {
    const parts = readdirSync(this.#folder).filter((name) => name.endsWith(".incr.aof"));
    const number = (name: string) => Number(/\.(\d+)\.incr/.exec(name)?.[1]);
    const newest = parts.sort((a, b) => number(a) - number(b)).at(-1);
    if (newest === undefined) throw new Error(`No append-only file in ${this.#folder}`);
    return join(this.#folder, newest);
  }
}
