import type { RedisLink } from "../../storage/redis/link/link.ts";
import { DeliveryLedger } from "../delivery.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import type { Measurement } from "../run.ts";
import { Filler } from "./filler.ts";
import type { OpenRung, Rung, RungPlace, RungWorker, Traffic } from "./rung.ts";
import { PRODUCT_QUEUE } from "./rungs/product.ts";
import { NO_WORK, observe, type ServerWork, sumOf, workOf } from "./server-work.ts";

export interface TrialLoad {
  /** Tasks that wait, at least. */
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

/**
 * One trial of a rung: callers claim a batch, complete it and claim again. It is measured in stretches; between them the
 * queue is filled again, so that neither the producers nor their cost to the server are in any figure.
 * `claim` is the time from asking to having the tasks; `cycle` includes the completion. Operations are tasks that the
 * store says have ended, so that a task completed twice counts once.
 */
export async function runTrial(
  rung: Rung,
  place: TrialPlace,
  load: TrialLoad,
  signal: AbortSignal,
): Promise<Measurement> {
  signal.throwIfAborted();
  const opened = await rung.open(place);
  try {
    return await new Shift(rung, opened, place, load, signal).run();
  } finally {
    await opened.close();
    await place.clear();
  }
}

/** A caller, and what it has claimed and not yet completed. */
interface Caller {
  readonly worker: RungWorker;
  held: readonly string[];
}

/** What a trial took, until its last stretch was over. */
interface Spent extends Traffic {
  readonly operations: number;
  readonly seconds: number;
  /** CPU of this process, all threads. */
  readonly clientUs: number;
}

/** So many claims each caller makes in a stretch, for the beginning and the end of one are not like the rest. */
const CLAIMS_A_STRETCH = 20;
/** Tasks a stretch: filling must not take longer than measuring. */
const STRETCH_MAX = 50_000;

class Shift {
  readonly #rung: Rung;
  readonly #opened: OpenRung;
  readonly #place: TrialPlace;
  readonly #load: TrialLoad;
  readonly #signal: AbortSignal;
  readonly #ledger = new DeliveryLedger();
  readonly #claim = new LatencyHistogram();
  readonly #cycle = new LatencyHistogram();
  readonly #callers: readonly Caller[];
  #completed = 0;
  #claims = 0;
  #empty = 0;
  /** Claims left in this stretch. */
  #stock = 0;

  constructor(rung: Rung, opened: OpenRung, place: TrialPlace, load: TrialLoad, signal: AbortSignal) {
    this.#rung = rung;
    this.#opened = opened;
    this.#place = place;
    this.#load = load;
    this.#signal = signal;
    this.#callers = Array.from({ length: load.callers }, (_, n) => ({ worker: opened.worker(n), held: [] }));
  }

  async run(): Promise<Measurement> {
    const { depth, callers, seconds } = this.#load;
    const filler = new Filler(this.#opened, PRODUCT_QUEUE, this.#ledger);
    const atOnce = callers * this.#rung.batch;
    const claims = Math.max(stretchOf(depth, callers, this.#rung.batch), this.#rung.claimsAStretch ?? 0);
    let [server, spentNs, clientUs] = [NO_WORK, 0, 0];
    while (spentNs < seconds * 1e9 && this.#claims < this.#claimsMax) {
      this.#signal.throwIfAborted();
      await filler.fillTo(depth + atOnce + claims * this.#rung.batch, this.#completed);
      const observed = await observe(this.#place.link);
      const before = process.cpuUsage();
      spentNs += await this.#stretch(claims, seconds * 1e9 - spentNs);
      const { user, system } = process.cpuUsage(before);
      clientUs += user + system;
      server = sumOf(server, await observed());
    }
    const spent = {
      operations: this.#completed,
      seconds: spentNs / 1e9,
      clientUs,
      ...this.#opened.traffic(),
    };
    await Promise.all(this.#callers.map((caller) => this.#finish(caller)));
    return this.#measurement(spent, server);
  }

  get #claimsMax(): number {
    return this.#rung.claimsMax ?? Number.POSITIVE_INFINITY;
  }

  /** All callers claim until so many claims are made, or the time is over; how long it took. */
  async #stretch(claims: number, nsMax: number): Promise<number> {
    this.#stock = Math.min(claims, this.#claimsMax - this.#claims);
    const startedAt = nowNs();
    const end = startedAt + nsMax;
    const loops = this.#callers.map((caller) => this.#loop(caller, end));
    // All have stopped before one's failure is told: nobody works on into the cleaning up.
    for (const loop of await Promise.allSettled(loops)) if (loop.status === "rejected") throw loop.reason;
    return nowNs() - startedAt;
  }

  async #loop(caller: Caller, end: number): Promise<void> {
    for (let askedAt = nowNs(); this.#goesOn(askedAt, end); askedAt = nowNs()) {
      this.#stock -= 1;
      this.#claims += 1;
      await this.#claimWith(caller);
      const hasAt = nowNs();
      if (caller.held.length === 0) {
        this.#empty += 1;
        continue;
      }
      this.#claim.record(hasAt - askedAt);
      for (const id of caller.held) this.#ledger.claimed(id);
      if (caller.worker.next === undefined) await this.#finish(caller);
      this.#cycle.record(nowNs() - askedAt);
    }
  }

  #goesOn(now: number, end: number): boolean {
    return now < end && this.#stock > 0 && !this.#signal.aborted;
  }

  async #claimWith(caller: Caller): Promise<void> {
    const { worker, held } = caller;
    if (worker.next === undefined || held.length === 0) {
      caller.held = await worker.claim();
      return;
    }
    const { completed, claimed } = await worker.next(held);
    this.#end(held, completed);
    caller.held = claimed;
  }

  async #finish(caller: Caller): Promise<void> {
    const { held } = caller;
    if (held.length === 0) return;
    this.#end(held, await caller.worker.complete(held));
    caller.held = [];
  }

  #end(ids: readonly string[], completed: number): void {
    for (const id of ids) this.#ledger.completed(id);
    this.#completed += completed;
  }

  async #measurement(
    { operations, seconds, clientUs, roundTrips, plain }: Spent,
    server: ServerWork,
  ): Promise<Measurement> {
    const { redisCalls, serverUs } = workOf(server, plain);
    const delivery = this.#ledger.audit(await this.#opened.unfinished());
    const each = (figure: number) => figure / Math.max(1, operations);
    return {
      seconds,
      operations,
      errors: 0,
      latencies: { claim: this.#claim, cycle: this.#cycle },
      values: {
        empty: this.#empty,
        roundTrips: each(roundTrips),
        redisCalls: each(redisCalls),
        serverUs: each(serverUs),
        serverCpuUs: each(server.cpuUs),
        clientCpuUs: each(clientUs),
        again: delivery.claimed - this.#completed,
      },
      delivery,
    };
  }
}

/** Claims a stretch: half of the depth, and enough for every caller. */
function stretchOf(depth: number, callers: number, batch: number): number {
  const tasks = Math.max(depth / 2, callers * batch * CLAIMS_A_STRETCH);
  return Math.max(2 * callers, Math.ceil(Math.min(tasks, STRETCH_MAX) / batch));
}
