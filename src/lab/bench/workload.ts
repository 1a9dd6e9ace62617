import type { Connection } from "../../sdk/connection.ts";
import type { BenchQueue } from "./bench-queue.ts";
import type { BenchPlace } from "./place.ts";
import type { BenchSettings } from "./report.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { Tally } from "./tally.ts";

/** One run, as its workload sees it. */
export interface BenchTurn {
  readonly place: BenchPlace;
  readonly connection: Connection;
  readonly queue: BenchQueue;
  readonly settings: BenchSettings;
  readonly tally: Tally;
  readonly stopwatch: Stopwatch;
  readonly signal: AbortSignal;
}

/** What a bench does over and over: makes its calls until the stopwatch says that it is over. */
export type Workload = (turn: BenchTurn) => Promise<void>;

/** A stretch takes about so long, so that its tasks are a part of a second's and not all of a run's. */
const STRETCH_SECONDS = 0.5;
const STRETCH_TASKS_MAX = 50_000;

/** How many tasks the next stretch is to be given: as many as its time will take, by the one before. */
export class StretchSize {
  tasks: number;
  readonly #least: number;

  constructor({ concurrency, batch }: BenchSettings) {
    this.#least = Math.max(1_000, 20 * concurrency * batch);
    this.tasks = this.#least;
  }

  /** `done` tasks took `seconds`; at most four times as many are given next. */
  learn(done: number, seconds: number): void {
    const wanted = Math.min(4 * this.tasks, Math.ceil((done / seconds) * STRETCH_SECONDS));
    this.tasks = Math.max(this.#least, Math.min(STRETCH_TASKS_MAX, wanted));
  }
}
