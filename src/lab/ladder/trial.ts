import { setImmediate as nextTurn } from "node:timers/promises";
import type { RedisLink } from "../../storage/redis/link/link.ts";
import { DeliveryLedger } from "../delivery.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import type { Measurement } from "../run.ts";
import { FILL, Filler } from "./filler.ts";
import type { OpenRung, Rung, RungPlace, RungWorker } from "./rung.ts";
import { PRODUCT_QUEUE } from "./rungs/product.ts";
import { observe, type ServerWork, without, workOf } from "./server-work.ts";

export interface TrialLoad {
  /** Tasks that wait, beside those that are worked on. */
  readonly depth: number;
  readonly callers: number;
  readonly seconds: number;
}

export interface TrialPlace extends RungPlace {
  /** Beside what is measured: reads the server's own counts. */
  readonly link: RedisLink;
  /** Removes the rung's keys. */
  clear(): Promise<void>;
}

/** What each filled task costs the server, of a rung; measured once, on `tasks` tasks. */
export type FillCost = ServerWork & { readonly tasks: number };

const CALIBRATED = 20 * FILL;

/**
 * One trial of a rung: callers claim a batch, complete it and claim again, while the filler keeps the depth.
 * `claim` is the time from asking to having the tasks; `cycle` includes the completion. Operations are tasks that the
 * store says have ended, so that a task completed twice counts once.
 */
export async function runTrial(
  rung: Rung,
  place: TrialPlace,
  load: TrialLoad,
  fillCost: FillCost,
  signal: AbortSignal,
): Promise<Measurement> {
  signal.throwIfAborted();
  const opened = await rung.open(place);
  const ledger = new DeliveryLedger();
  try {
    const shift = new Shift(rung, opened, load, ledger, signal);
    const observed = await shift.prepare(() => observe(place.link));
    const measured = await shift.work();
    const { filled, completed } = shift;
    const all = await observed();
    await shift.settled();
    const server = without(all, fillCost, filled / fillCost.tasks);
    const { roundTrips, plain } = opened.traffic();
    const { redisCalls, serverUs } = workOf(server, { plain });
    const delivery = ledger.audit(await opened.unfinished());
    const each = (figure: number) => figure / Math.max(1, completed);
    return {
      seconds: measured.seconds,
      operations: completed,
      errors: 0,
      latencies: { claim: measured.claim, cycle: measured.cycle },
      values: {
        empty: measured.empty,
        roundTrips: each(roundTrips),
        redisCalls: each(redisCalls),
        serverUs: each(serverUs),
        serverCpuUs: each(server.cpuUs),
        again: delivery.claimed - completed,
      },
      delivery,
    };
  } finally {
    await opened.close();
    await place.clear();
  }
}

/** Measures what filling costs the server, without anybody who claims. */
export async function fillCostOf(rung: Rung, place: TrialPlace): Promise<FillCost> {
  const opened = await rung.open(place);
  try {
    const filler = new Filler(opened, PRODUCT_QUEUE, new DeliveryLedger());
    await filler.fill(CALIBRATED);
    const observed = await observe(place.link);
    await filler.fill(CALIBRATED);
    return { ...(await observed()), tasks: CALIBRATED };
  } finally {
    await opened.close();
    await place.clear();
  }
}

interface Measured {
  readonly seconds: number;
  readonly claim: LatencyHistogram;
  readonly cycle: LatencyHistogram;
  readonly empty: number;
}

/** The callers of one trial, and who fills for them. */
class Shift {
  completed = 0;
  readonly #rung: Rung;
  readonly #load: TrialLoad;
  readonly #ledger: DeliveryLedger;
  readonly #signal: AbortSignal;
  readonly #filler: Filler;
  readonly #workers: readonly RungWorker[];
  readonly #unfinished: number;
  readonly #claim = new LatencyHistogram();
  readonly #cycle = new LatencyHistogram();
  #filledBefore = 0;
  #claims = 0;
  #empty = 0;
  #isOver = false;

  constructor(rung: Rung, opened: OpenRung, load: TrialLoad, ledger: DeliveryLedger, signal: AbortSignal) {
    this.#rung = rung;
    this.#load = load;
    this.#ledger = ledger;
    this.#signal = signal;
    this.#filler = new Filler(opened, PRODUCT_QUEUE, ledger);
    this.#workers = Array.from({ length: load.callers }, (_, n) => opened.worker(n));
    this.#unfinished = load.depth + load.callers * rung.batch;
  }

  /** Tasks filled while it worked. */
  get filled(): number {
    return this.#filler.filled - this.#filledBefore;
  }

  /** Fills to the depth; `observe` begins behind that. */
  async prepare<T>(observe: () => Promise<T>): Promise<T> {
    await this.#filler.fill(this.#unfinished);
    this.#filledBefore = this.#filler.filled;
    globalThis.gc?.();
    return observe();
  }

  async work(): Promise<Measured> {
    const startedAt = nowNs();
    const end = startedAt + this.#load.seconds * 1e9;
    // One that fails ends all, at their next turn: nobody works on into the cleaning up.
    const loops = this.#workers.map((worker) =>
      this.#loop(worker, end).catch((error: unknown) => {
        this.#isOver = true;
        throw error;
      }),
    );
    for (const loop of await Promise.allSettled(loops)) if (loop.status === "rejected") throw loop.reason;
    this.#signal.throwIfAborted();
    const seconds = (nowNs() - startedAt) / 1e9;
    return { seconds, claim: this.#claim, cycle: this.#cycle, empty: this.#empty };
  }

  settled(): Promise<void> {
    return this.#filler.settled();
  }

  async #loop(worker: RungWorker, end: number): Promise<void> {
    let held: readonly string[] = [];
    for (let askedAt = nowNs(); this.#goesOn(askedAt, end); askedAt = nowNs()) {
      const done = held;
      if (worker.next === undefined || done.length === 0) held = await worker.claim();
      else {
        const { completed, claimed } = await worker.next(done);
        this.#end(done, completed);
        held = claimed;
      }
      const hasAt = nowNs();
      if (held.length === 0) {
        this.#empty += 1;
        await nextTurn();
        continue;
      }
      this.#claims += 1;
      this.#claim.record(hasAt - askedAt);
      for (const id of held) this.#ledger.claimed(id);
      if (worker.next === undefined) {
        this.#end(held, await worker.complete(held));
        held = [];
      }
      this.#cycle.record(nowNs() - askedAt);
    }
    if (held.length > 0) this.#end(held, await worker.complete(held));
  }

  #goesOn(now: number, end: number): boolean {
    return (
      now < end && !this.#isOver && !this.#signal.aborted && this.#claims < (this.#rung.claimsMax ?? Infinity)
    );
  }

  #end(ids: readonly string[], completed: number): void {
    for (const id of ids) this.#ledger.completed(id);
    this.completed += completed;
    this.#filler.keep(this.#unfinished, this.completed);
  }
}
