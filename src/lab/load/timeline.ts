import type { BenchPlace } from "../bench/place.ts";
import type { LoadPoint } from "./load-report.ts";
import type { LoadRecorder } from "./recorder.ts";
import { NOTHING_KNOWN, readServerSecond, type ServerSecond } from "./server-figures.ts";

/** Told after each second, with how many there were. */
export type OnSecond = (seconds: number, recorder: LoadRecorder, server: ServerSecond) => void;

/** The run second by second: what the generators saw, beside what the server says of itself. */
export class Timeline {
  readonly #place: BenchPlace;
  readonly #queue: string;
  readonly #onSecond: OnSecond;
  readonly #seconds: ServerSecond[] = [];
  #recorder: LoadRecorder | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();

  constructor(place: BenchPlace, queue: string, onSecond: OnSecond) {
    this.#place = place;
    this.#queue = queue;
    this.#onSecond = onSecond;
  }

  get recorder(): LoadRecorder {
    if (this.#recorder === undefined) throw new Error("The run has not begun");
    return this.#recorder;
  }

  start(recorder: LoadRecorder): void {
    this.#recorder = recorder;
    this.#timer = setInterval(() => {
      // One at a time: a server that is slow to tell is not asked twice.
      const second = this.#seconds.push(NOTHING_KNOWN) - 1;
      this.#reading = this.#reading.then(() => this.#read(second));
    }, 1_000);
  }

  /** Ends it after `seconds`; a point for each second, the last one for what was left of it. */
  async stop(seconds: number): Promise<LoadPoint[]> {
    clearInterval(this.#timer);
    await this.#reading;
    const recorder = this.recorder;
    return Array.from({ length: Math.ceil(seconds) }, (_, second) => ({
      second,
      seconds: Math.min(1, seconds - second),
      ...recorder.second(second),
      ...(this.#seconds[second] ?? NOTHING_KNOWN),
    }));
  }

  async #read(second: number): Promise<void> {
    const server = await readServerSecond(this.#place, this.#queue);
    this.#seconds[second] = server;
    this.#onSecond(second + 1, this.recorder, server);
  }
}
