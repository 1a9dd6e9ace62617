import { setTimeout as wait } from "node:timers/promises";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";

const FAILURES_MAX = 5;
/** A caller that failed waits so long before it calls again, or a server that is away would be called by the million. */
const AFTER_FAILURE_MS = 20;
/** So many failures without a success between them, over so long, and the bench is given up. */
const GIVE_UP_FAILURES = 20;
const GIVE_UP_MS = 5_000;

/** The calls of a run cannot be made any more. `cause` is the last failure. */
export class BenchFailed extends Error {}

/** What happened to the calls of one run. Nothing is counted while it is muted. */
export class Tally {
  readonly latencies: Record<string, LatencyHistogram> = {};
  readonly failures: string[] = [];
  operations = 0;
  empty = 0;
  errors = 0;
  timeouts = 0;
  isMuted = false;
  readonly #timeoutNs: number;
  #inARow = 0;
  #succeededAt = nowNs();

  constructor(timeoutMs: number) {
    this.#timeoutNs = timeoutMs * 1e6;
  }

  /** A call went well, with what it was called for: `operations` tasks. */
  took(name: string, durationNs: number, operations: number): void {
    if (this.#inARow > 0) this.#inARow = 0;
    if (this.isMuted) return;
    this.latency(name).record(durationNs);
    this.operations += operations;
    if (durationNs > this.#timeoutNs) this.timeouts += 1;
  }

  /** A call went well and brought nothing. */
  tookEmpty(durationNs: number): void {
    if (this.isMuted) return;
    this.latency("empty").record(durationNs);
    this.empty += 1;
  }

  /**
   * A call that began at `startedAt` failed. Resolves when its caller may go on.
   * @throws {BenchFailed} when nothing but failures has come for a while.
   */
  async failed(error: unknown, startedAt: number): Promise<void> {
    const now = nowNs();
    if (this.#inARow === 0) this.#succeededAt = startedAt;
    this.#inARow += 1;
    const message = error instanceof Error ? error.message : String(error);
    if (!this.isMuted) {
      if (now - startedAt >= this.#timeoutNs) this.timeouts += 1;
      else this.errors += 1;
      if (this.failures.length < FAILURES_MAX && !this.failures.includes(message))
        this.failures.push(message);
    }
    if (this.#inARow >= GIVE_UP_FAILURES && now - this.#succeededAt >= GIVE_UP_MS * 1e6)
      throw new BenchFailed(`${this.#inARow} calls failed in a row, the last with: ${message}`, {
        cause: error,
      });
    await wait(AFTER_FAILURE_MS);
  }

  latency(name: string): LatencyHistogram {
    let histogram = this.latencies[name];
    if (histogram === undefined) {
      histogram = new LatencyHistogram();
      this.latencies[name] = histogram;
    }
    return histogram;
  }
}
