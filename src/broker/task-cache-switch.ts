/** `auto`: on while it pays. `on`, `off`: always, never. */
export type CacheMode = "auto" | "on" | "off";

/** The figures are looked at once in so long. */
const STEP_MS = 1_000;
/** What a step leaves of what was counted before it: about the last five seconds count. */
const KEPT = 0.8;
/** Reads for each write up to which the cache stays off. */
const READS_A_WRITE = 5;
/** How far above that the figures must be to be no chance, in standard deviations. */
const DEVIATIONS = 4;
/** More invalidations than this share of the reads, and the cache is filled for nothing. */
const INVALIDATED_SHARE_MAX = 0.2;
/** How long the cache then rests: while it is empty nothing can be invalidated, so its figures look well. */
const REST_MS = 60_000;

/**
 * Decides whether the metadata cache pays, from the reads by id and the tasks written of about the last five
 * seconds.
 *
 * It goes on when reads outnumber writes by clearly more than 5:1. A load of exactly 5:1 is above it by chance in
 * half of all looks: of n reads and writes drawn 5:1, reads - 5 × writes is 0 on average, with a variance of 5n. So
 * the excess must be more than four standard deviations; at a thousand reads a second that is a load of 5.8:1, at ten
 * thousand 5.3:1, and with nothing but reads it takes some twenty of them a second. It goes off as soon as the excess
 * is gone, or when writes remove many entries each: a write of one task cannot do that above 5:1, but a purge or a
 * prune of a queue can.
 */
export class CacheSwitch {
  readonly #mode: CacheMode;
  #isOn: boolean;
  #reads = 0;
  #writes = 0;
  #invalidations = 0;
  #stepAt: number;
  #restUntil = Number.NEGATIVE_INFINITY;

  /** `now` is monotonic, in milliseconds, here and below. */
  constructor(mode: CacheMode, now: number) {
    this.#mode = mode;
    this.#isOn = mode === "on";
    this.#stepAt = now + STEP_MS;
  }

  isOn(now: number): boolean {
    if (now >= this.#stepAt) this.#step(now);
    return this.#isOn;
  }

  noteRead(): void {
    this.#reads += 1;
  }

  noteWrites(tasks: number): void {
    this.#writes += tasks;
  }

  noteInvalidation(): void {
    this.#invalidations += 1;
  }

  /** Reads for each write lately; a single write stands for none. */
  readsAWrite(now: number): number {
    this.isOn(now);
    return this.#reads / Math.max(1, this.#writes);
  }

  #step(now: number): void {
    const steps = 1 + Math.floor((now - this.#stepAt) / STEP_MS);
    this.#stepAt += steps * STEP_MS;
    if (this.#mode === "auto") this.#isOn = this.#pays(now);
    const kept = KEPT ** steps;
    this.#reads *= kept;
    this.#writes *= kept;
    this.#invalidations *= kept;
  }

  #pays(now: number): boolean {
    if (this.#isOn && this.#invalidations > this.#reads * INVALIDATED_SHARE_MAX) {
      this.#restUntil = now + REST_MS;
    }
    if (now < this.#restUntil) return false;
    const excess = this.#reads - READS_A_WRITE * this.#writes;
    const chance = Math.sqrt(READS_A_WRITE * (this.#reads + this.#writes));
    return excess > (this.#isOn ? 0 : DEVIATIONS * chance);
  }
}
