import type { Logger } from "./logger.ts";

const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 1_000;
/** A loop that goes on failing says so once in so long. */
const SAY_AGAIN_MS = 60_000;

export interface LoopOptions {
  readonly name: string;
  /** One round; answers in how many milliseconds the next is wanted, if nothing wakes the loop before. */
  readonly round: () => Promise<number>;
  readonly logger: Logger;
}

/**
 * Repeats a round in the background. A round that throws is tried again after 100 ms, then twice as long each
 * time up to 1 s; it never ends the loop. The first failure is logged, then one a minute. Its timer does not
 * keep a process alive.
 */
export class Loop {
  readonly #options: LoopOptions;
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #state: "new" | "started" | "stopped" = "new";
  #failures = 0;
  #sayAt = 0;
  #trouble: string | undefined;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  /** Why the last round failed; undefined when it did not. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  get isStopped(): boolean {
    return this.#state === "stopped";
  }

  /** The first round begins after `delayMs`. */
  start(delayMs = 0): void {
    this.#state = "started";
    this.wake(delayMs);
  }

  /** Sees to it that a round begins within `delayMs`; a failing loop keeps to its backoff. */
  wake(delayMs: number): void {
    const wakeAt = performance.now() + delayMs;
    if (wakeAt >= this.#wakeAt || this.#state !== "started" || this.#failures > 0) return;
    this.#wakeAt = wakeAt;
    if (this.#running === undefined) this.#setTimer(delayMs);
  }

  /** Resolves when the running round is over; none follows. */
  async stop(): Promise<void> {
    this.#state = "stopped";
    clearTimeout(this.#timer);
    await this.#running;
  }

  #setTimer(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), delayMs).unref();
  }

  #run(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#running = this.#options
      .round()
      .then((nextMs) => this.#succeeded(nextMs))
      .catch((error: unknown) => this.#failed(error))
      .then((nextMs) => {
        this.#running = undefined;
        if (this.isStopped) return;
        // Whoever woke the loop during the round may want it earlier.
        this.#wakeAt = Math.min(this.#wakeAt, performance.now() + nextMs);
        this.#setTimer(Math.max(0, this.#wakeAt - performance.now()));
      });
  }

  #succeeded(nextMs: number): number {
    const { name, logger } = this.#options;
    if (this.#failures > 0) logger.info({ loop: name, failures: this.#failures }, "the loop works again");
    this.#failures = 0;
    this.#sayAt = 0;
    this.#trouble = undefined;
    return nextMs;
  }

  #failed(error: unknown): number {
    const retryMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    const reason = error instanceof Error ? error.message : String(error);
    this.#trouble = `the ${this.#options.name} loop fails: ${reason}`;
    this.#say(error, retryMs);
    return retryMs;
  }

  #say(error: unknown, retryMs: number): void {
    const now = performance.now();
    if (now < this.#sayAt) return;
    this.#sayAt = now + SAY_AGAIN_MS;
    const { name, logger } = this.#options;
    logger.warn(
      { loop: name, err: error, failures: this.#failures, retryMs },
      "a round of the loop failed; it is tried again until it succeeds",
    );
  }
}
