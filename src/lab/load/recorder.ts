import { LatencyHistogram, type LatencySummary } from "../histogram.ts";
import { eventsIn, type LoadEvent } from "./event-log.ts";
import type { Timed } from "./scenario.ts";

/** One second as the generators saw it. */
export interface RecordedSecond {
  readonly claimed: number;
  readonly errors: number;
  /** Of the headline, by when its calls were meant to leave; null when none was. */
  readonly p50Ns: number | null;
  readonly p99Ns: number | null;
  readonly maxNs: number | null;
}

/** Figures of what went well over the whole run so far. */
export interface RecordedSums {
  readonly claimed: number;
  readonly empty: number;
  readonly errors: number;
  readonly timeouts: number;
  /** Tasks that were claimed before their time. */
  readonly early: number;
}

interface OpenSecond {
  claimed: number;
  errors: number;
  durations: number[];
}

/** After so long no call of a second can still be on its way. */
const SEALED_AFTER_S = 90;

/** Adds up what the generators tell of their calls. */
export class LoadRecorder {
  readonly #headline: Timed;
  readonly #startAt: number;
  readonly #histograms = new Map<Timed, LatencyHistogram>();
  readonly #open = new Map<number, OpenSecond>();
  readonly #sealed = new Map<number, RecordedSecond>();
  readonly #sums = { claimed: 0, empty: 0, errors: 0, timeouts: 0, early: 0 };
  #newest = 0;

  /** `startAt`: of the run, by the clock of all processes. */
  constructor(headline: Timed, startAt: number) {
    this.#headline = headline;
    this.#startAt = startAt;
  }

  get sums(): RecordedSums {
    return this.#sums;
  }

  add(events: Float64Array): void {
    for (const event of eventsIn(events)) this.#addOne(event);
  }

  /** Of everything that was timed. */
  summaries(): Record<string, LatencySummary> {
    return Object.fromEntries(
      [...this.#histograms].map(([timed, histogram]) => [timed, histogram.summary()]),
    );
  }

  latency(timed: Timed): LatencyHistogram {
    let histogram = this.#histograms.get(timed);
    if (histogram === undefined) {
      histogram = new LatencyHistogram();
      this.#histograms.set(timed, histogram);
    }
    return histogram;
  }

  second(second: number): RecordedSecond {
    const sealed = this.#sealed.get(second);
    if (sealed !== undefined) return sealed;
    const open = this.#open.get(second);
    return open === undefined
      ? { claimed: 0, errors: 0, p50Ns: null, p99Ns: null, maxNs: null }
      : figuresOf(open);
  }

  #addOne({ timed, ending, intendedAt, endedAt }: LoadEvent): void {
    // What a warm-up left behind.
    if (intendedAt < this.#startAt - 1e6) return;
    const ended = this.#secondAt(endedAt);
    if (ending === "empty") this.#sums.empty += 1;
    else if (ending !== "done") {
      ended.errors += 1;
      if (ending === "failed") this.#sums.errors += 1;
      else this.#sums.timeouts += 1;
    } else {
      if (timed === "claim" || timed === "start" || timed === "lateness") {
        ended.claimed += 1;
        this.#sums.claimed += 1;
      }
      const duration = endedAt - intendedAt;
      // Whole milliseconds, to which the sum of two clocks has added a little.
      if (timed === "lateness" && duration < -0.5e6) this.#sums.early += 1;
      this.latency(timed).record(duration);
      if (timed === this.#headline) this.#secondAt(intendedAt).durations.push(duration);
    }
  }

  #secondAt(at: number): OpenSecond {
    const second = Math.max(0, Math.floor((at - this.#startAt) / 1e9));
    let open = this.#open.get(second);
    if (open === undefined) {
      open = { claimed: 0, errors: 0, durations: [] };
      this.#open.set(second, open);
      this.#newest = Math.max(this.#newest, second);
      this.#seal();
    }
    return open;
  }

  /** What a long run keeps of a second is its figures, not its calls. */
  #seal(): void {
    for (const [second, open] of this.#open) {
      if (second >= this.#newest - SEALED_AFTER_S || this.#sealed.has(second)) continue;
      this.#sealed.set(second, figuresOf(open));
      this.#open.delete(second);
    }
  }
}

function figuresOf({ claimed, errors, durations }: OpenSecond): RecordedSecond {
  if (durations.length === 0) return { claimed, errors, p50Ns: null, p99Ns: null, maxNs: null };
  const sorted = Float64Array.from(durations).sort();
  const at = (share: number) =>
    Math.max(0, sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] as number);
  return { claimed, errors, p50Ns: at(0.5), p99Ns: at(0.99), maxNs: at(1) };
}
