import type { HeldTask } from "./held-task.ts";
import type { Slots } from "./slots.ts";

export interface TurnsActions {
  /** It is this task's turn: its handler may run. */
  start(held: HeldTask): void;
  /** Their turn did not come: they go back to where they were. */
  handBack(tasks: readonly HeldTask[]): void;
}

/** Handlers longer than this, in the mean, gain nothing worth a lease: a round trip is short beside them. */
const SHORT_MS = 0.5;
/** A clock that stands still, as in a test that moves it by hand, makes no handler infinitely short. */
const MEAN_MS_MIN = 0.000_1;
/** So many handlers were measured before tasks are claimed ahead, and before it is judged anew. */
const WINDOW = 64;
/** More than these a call does not make cheaper. */
const AHEAD_MAX = 100;
/** A task that waits longer behind a handler that is slow for once goes to somebody who has time. */
const PATIENCE_MS = 20;

/**
 * Whose handler runs, at most `concurrency`, and who waits for its turn.
 *
 * Somebody waits only where handlers are short. Then most of a task's time would be the way of its outcome to the
 * engine and of the next task back, with nothing to do meanwhile: so the worker claims ahead as many tasks as it gets
 * through in `aheadMs`. Measured with a handler that does nothing against Redis: docs/decisions/0005.
 *
 * The measure is the mean run of the last handlers. Once a task on its last attempt is seen, nothing is claimed ahead until
 * the handlers are measured anew: the death of this process costs those that wait an attempt that nobody began.
 */
export class Turns {
  readonly #concurrency: number;
  readonly #aheadMs: number;
  readonly #slots: Slots;
  readonly #actions: TurnsActions;
  #waiting: HeldTask[] = [];
  #running = 0;
  #ended = 0;
  #ranMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(concurrency: number, aheadMs: number, slots: Slots, actions: TurnsActions) {
    this.#concurrency = concurrency;
    this.#aheadMs = aheadMs;
    this.#slots = slots;
    this.#actions = actions;
  }

  /** Starts it now or in its turn. */
  add(held: HeldTask): void {
    const { attempt, maxAttempts } = held.task;
    if (attempt >= maxAttempts) this.#measureAnew();
    if (this.#running < this.#concurrency) this.#start(held);
    else {
      this.#waiting.push(held);
      this.#timer ??= setTimeout(this.#look, PATIENCE_MS);
    }
  }

  /** A handler has ended, after so long. */
  ended(ranMs: number): void {
    this.#running -= 1;
    this.#ranMs += ranMs;
    this.#ended += 1;
    if (this.#ended === WINDOW) this.#judge();
    this.#next();
  }

  /** Hands back who waits. Nobody waits any more. */
  stop(): void {
    this.#measureAnew();
    this.#handBack();
  }

  /** False when it goes back: another handler kept the event loop for so long that its lease may have ended. */
  #start(held: HeldTask): boolean {
    if (performance.now() >= held.trustedUntil) {
      this.#actions.handBack([held]);
      return false;
    }
    this.#running += 1;
    this.#actions.start(held);
    return true;
  }

  #next(): void {
    for (let held = this.#waiting.shift(); held !== undefined; held = this.#waiting.shift()) {
      // Cancelled meanwhile, or its lease was lost.
      if (held.stage !== "open") continue;
      if (this.#start(held)) return;
    }
  }

  #judge(): void {
    const meanMs = Math.max(this.#ranMs / WINDOW, MEAN_MS_MIN);
    const most = meanMs > SHORT_MS ? 0 : (this.#concurrency * this.#aheadMs) / meanMs;
    this.#slots.ahead = Math.floor(Math.min(most, AHEAD_MAX));
    this.#ended = 0;
    this.#ranMs = 0;
  }

  #measureAnew(): void {
    this.#slots.ahead = 0;
    this.#ended = 0;
    this.#ranMs = 0;
  }

  #lookIn(ms: number): void {
    this.#timer = setTimeout(this.#look, ms);
  }

  /**
   * Where one task runs at a time, nobody is handed back while the next ones are on their way: they would come first.
   * The outcomes could not leave before that answer anyway.
   */
  readonly #look = (): void => {
    this.#timer = undefined;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    const waitedMs = performance.now() - oldest.receivedAt;
    if (waitedMs < PATIENCE_MS) this.#lookIn(PATIENCE_MS - waitedMs);
    else if (this.#concurrency === 1 && this.#slots.isClaiming) this.#lookIn(PATIENCE_MS);
    else this.stop();
  };

  #handBack(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const open = this.#waiting.filter(({ stage }) => stage === "open");
    this.#waiting = [];
    if (open.length > 0) this.#actions.handBack(open);
  }
}
