import { LIMITS } from "../task/limits.ts";

/**
 * Counts what a worker may still claim. A slot is taken by a task in hand, or promised to a claim that is
 * under way: both together never exceed the concurrency and what may be claimed ahead, so a worker never holds
 * more than it can run.
 */
export class Slots {
  readonly size: number;
  /** Further ones, for tasks that wait for their turn. When they become fewer, those that are taken stay so. */
  ahead = 0;
  #taken = 0;
  #promised = 0;
  #claims = 0;

  constructor(size: number) {
    this.size = size;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Some were promised to a claim that is under way. */
  get isClaiming(): boolean {
    return this.#claims > 0;
  }

  /**
   * Promises the free slots to a claim and gives their number, at most 1,000. `returning` slots are taken
   * now and will be free when the claim is served, because it travels with the settle that frees them.
   *
   * A claim of its own, which may wait for tasks, is only for who has a handler to spare. What is claimed ahead travels
   * with settles: else a waiting claim would bring back at once what was handed back because its turn did not come.
   *
   * Who runs one task at a time wants them in their order: there, nothing is promised while another claim is under way,
   * for the answer to the later one may be here first.
   */
  promise(returning = 0): number {
    if (this.size === 1 && this.isClaiming) return 0;
    if (returning === 0 && this.#taken + this.#promised >= this.size) return 0;
    const free = this.size + this.ahead - this.#taken - this.#promised + returning;
    const count = Math.max(0, Math.min(free, LIMITS.claimMax));
    // The returning ones are taken still: counted as promised too, they would be missed by the next settle.
    this.#promised += Math.max(0, count - returning);
    if (count > 0) this.#claims += 1;
    return count;
  }

  /** The claim that they were promised to is over; `returning` as it was said then. */
  takeBack(count: number, returning = 0): void {
    this.#promised -= Math.max(0, count - returning);
    if (count > 0) this.#claims -= 1;
  }

  take(): void {
    this.#taken += 1;
  }

  free(): void {
    this.#taken -= 1;
  }
}
