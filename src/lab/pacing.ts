import { setImmediate as nextTurn, setTimeout as wait } from "node:timers/promises";
import { LatencyHistogram } from "./histogram.ts";
import { nowNs } from "./nano-clock.ts";

/**
 * Open-loop load: requests leave at a constant rate, whether or not earlier ones have been answered, and
 * every latency counts from the moment at which its request was *meant* to leave. A closed loop waits
 * politely while the server stalls and so measures one slow call where users would have met hundreds.
 *
 * Source: Gil Tene, "How NOT to Measure Latency", on coordinated omission.
 */
export interface PacingOptions {
  /** Requests a second, above 0. */
  readonly perSecond: number;
  readonly seconds: number;
  /**
   * Requests on the way at once, at most. What the bound holds back leaves late and is counted from its
   * intended time like any other, so the bound hides nothing; it keeps a dead server from filling memory.
   */
  readonly outstandingMax: number;
  /** Sends request `n`, from 0, which was meant to leave at `intendedAt` by the clock; rejects when it failed. */
  send(n: number, intendedAt: number): Promise<void>;
  /**
   * How long after the time is over requests that are late may still leave, default for ever: a server that
   * can do half of what is asked would else take twice the time.
   */
  readonly overrunSeconds?: number;
  /** Ends the sending; what is on its way is waited for. */
  readonly signal?: AbortSignal;
  readonly clock?: PacingClock;
}

export interface PacingClock {
  nowNs(): number;
  /** Resolves at `ns`, or as soon after it as possible, and lets answers come in meanwhile. */
  until(ns: number): Promise<void>;
}

export interface PacingResult {
  readonly seconds: number;
  readonly sent: number;
  /** Requests that never left, because time or signal ended the sending before. */
  readonly unsent: number;
  readonly succeeded: number;
  readonly failed: number;
  /** The first five different messages of failures. */
  readonly failures: readonly string[];
  /** Requests that waited for the bound on outstanding ones. */
  readonly heldBack: number;
  /**
   * Share of the time held back in which the event loop slept, 0 to 1: near 1 the answers were late, near 0
   * this process was too busy to read them. 1 when nothing was held back.
   */
  readonly heldBackIdle: number;
  /** From the intended time of leaving to the answer; failures are not in it. */
  readonly latency: LatencyHistogram;
  /** From the actual time of leaving to the answer: what a closed loop would have reported. */
  readonly service: LatencyHistogram;
  /** From the intended to the actual time of leaving. With nothing held back, it is the generator's own fault. */
  readonly lateness: LatencyHistogram;
  /** What of the lateness is not the bound's doing: how late the generator itself was. */
  readonly lag: LatencyHistogram;
}

const FAILURES_MAX = 5;

/** @throws {RangeError} when the rate, the time or the bound are not above 0. */
export async function paceRequests(options: PacingOptions): Promise<PacingResult> {
  for (const name of ["perSecond", "seconds", "outstandingMax"] as const) {
    if (!(options[name] > 0)) throw new RangeError(`Expected ${name} to be above 0, got ${options[name]}`);
  }
  return new Pacer(options).run();
}

class Pacer {
  readonly #options: PacingOptions;
  readonly #clock: PacingClock;
  readonly #latency = new LatencyHistogram();
  readonly #service = new LatencyHistogram();
  readonly #lateness = new LatencyHistogram();
  readonly #lag = new LatencyHistogram();
  readonly #failures = new Set<string>();
  #outstanding = 0;
  #succeeded = 0;
  #failed = 0;
  #heldBack = 0;
  /** Since when nothing is held back; what was meant to leave before is late through the bound. */
  #freeAt = 0;
  #heldMs = 0;
  #heldIdleMs = 0;
  /** Set while the pacer waits for an answer. */
  #onAnswer: (() => void) | undefined;

  constructor(options: PacingOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SPINNING_CLOCK;
  }

  async run(): Promise<PacingResult> {
    const { perSecond, seconds, signal, overrunSeconds = Number.POSITIVE_INFINITY } = this.#options;
    const total = Math.ceil(perSecond * seconds);
    const startedAt = this.#clock.nowNs();
    const end = startedAt + (seconds + overrunSeconds) * 1e9;
    let n = 0;
    for (; n < total && signal?.aborted !== true && this.#clock.nowNs() <= end; n += 1) {
      // From the start, not from the last request: lateness never adds up into a lower rate.
      const intendedAt = startedAt + (n * 1e9) / perSecond;
      if (this.#clock.nowNs() < intendedAt) await this.#clock.until(intendedAt);
      await this.#untilFree();
      this.#send(n, intendedAt);
    }
    while (this.#outstanding > 0) await this.#answer();
    return this.#result(n, total - n, (this.#clock.nowNs() - startedAt) / 1e9);
  }

  async #untilFree(): Promise<void> {
    if (this.#outstanding < this.#options.outstandingMax) return;
    this.#heldBack += 1;
    const before = performance.eventLoopUtilization();
    await this.#answer();
    const { idle, active } = performance.eventLoopUtilization(before);
    this.#heldIdleMs += idle;
    this.#heldMs += idle + active;
    this.#freeAt = this.#clock.nowNs();
  }

  #send(n: number, intendedAt: number): void {
    const sentAt = this.#clock.nowNs();
    this.#lateness.record(sentAt - intendedAt);
    this.#lag.record(sentAt - Math.max(intendedAt, this.#freeAt));
    this.#outstanding += 1;
    this.#options.send(n, intendedAt).then(
      () => {
        const answeredAt = this.#clock.nowNs();
        this.#latency.record(answeredAt - intendedAt);
        this.#service.record(answeredAt - sentAt);
        this.#succeeded += 1;
        this.#ended();
      },
      (error: unknown) => {
        if (this.#failures.size < FAILURES_MAX) this.#failures.add(String(error));
        this.#failed += 1;
        this.#ended();
      },
    );
  }

  #ended(): void {
    this.#outstanding -= 1;
    this.#onAnswer?.();
    this.#onAnswer = undefined;
  }

  #answer(): Promise<void> {
    return new Promise((resolve) => {
      this.#onAnswer = resolve;
    });
  }

  #result(sent: number, unsent: number, seconds: number): PacingResult {
    return {
      seconds,
      sent,
      unsent,
      succeeded: this.#succeeded,
      failed: this.#failed,
      failures: [...this.#failures],
      heldBack: this.#heldBack,
      heldBackIdle: this.#heldMs === 0 ? 1 : this.#heldIdleMs / this.#heldMs,
      latency: this.#latency,
      service: this.#service,
      lateness: this.#lateness,
      lag: this.#lag,
    };
  }
}

/** Timers fire up to a millisecond late, so the last two milliseconds are spent turning the event loop. */
const SPIN_NS = 2e6;

/**
 * The real clock. It keeps a core busy at rates above 500 a second, which is the price of leaving on time;
 * give the generator a process of its own.
 */
export const SPINNING_CLOCK: PacingClock = {
  nowNs,
  async until(ns) {
    const sleepMs = Math.floor((ns - nowNs() - SPIN_NS) / 1e6);
    if (sleepMs > 0) await wait(sleepMs);
    while (nowNs() < ns) await nextTurn();
  },
};
