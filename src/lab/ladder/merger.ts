import type { Held, LeasedTasks, Step } from "./leased-tasks.ts";

/** As many as the product sends. */
const CALLS_MAX = 2;
const CALLERS_MAX = 100;

interface Waiting {
  readonly wants: number;
  readonly done: readonly Held[];
  resolve(step: Step): void;
  reject(error: unknown): void;
}

/** Makes one call of what single callers ask for while others are under way: they pay for one round trip together. */
export class Merger {
  readonly #tasks: LeasedTasks;
  #waiting: Waiting[] = [];
  #underWay = 0;
  #isPlanned = false;

  constructor(tasks: LeasedTasks) {
    this.#tasks = tasks;
  }

  /** Completes `done` and claims one task, or none, as part of some call. */
  step(wants: number, done: readonly Held[] = []): Promise<Step> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ wants, done, resolve, reject });
      this.#plan();
    });
  }

  /** At the end of this turn, so that all who ask in it go together. */
  #plan(): void {
    if (this.#isPlanned || this.#underWay === CALLS_MAX || this.#waiting.length === 0) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      const together = this.#waiting.slice(0, CALLERS_MAX);
      this.#waiting = this.#waiting.slice(CALLERS_MAX);
      void this.#send(together);
      this.#plan();
    });
  }

  async #send(together: readonly Waiting[]): Promise<void> {
    const lane = this.#underWay;
    this.#underWay += 1;
    try {
      const wanted = together.reduce((sum, { wants }) => sum + wants, 0);
      const done = together.flatMap((each) => each.done);
      const { completed, claimed, token } = await this.#tasks.step(lane, wanted, done);
      if (completed !== done.length)
        throw new Error(`${done.length} tasks were completed, ${completed} were leased`);
      let at = 0;
      for (const { wants, done: own, resolve } of together) {
        resolve({ completed: own.length, token, claimed: claimed.slice(at, at + wants) });
        at += wants;
      }
    } catch (error) {
      for (const { reject } of together) reject(error);
    } finally {
      this.#underWay -= 1;
      this.#plan();
    }
  }
}
