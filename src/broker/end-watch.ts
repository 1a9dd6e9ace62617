/** The longest delay that a timer takes; more would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** One look out for the end of a task: over when the end is told, the time is up, or the caller goes away. */
export class EndWatch {
  readonly #signal: AbortSignal | undefined;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;
  #resolve: (() => void) | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  ended(leftMs: number): Promise<void> {
    if (this.#isOver || leftMs <= 0 || this.#signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#timer = setTimeout(this.end, Math.min(leftMs, TIMER_MS_MAX));
      this.#signal?.addEventListener("abort", this.end);
    });
  }

  readonly end = (): void => {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.end);
    this.#resolve?.();
  };
}
