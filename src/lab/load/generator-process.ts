import { performance } from "node:perf_hooks";
import { serveDuties, tellParent } from "../child.ts";
import type { WrittenLedger } from "../delivery.ts";
import { Calls, type CallsOptions } from "./calls.ts";
import { EventLog } from "./event-log.ts";
import { LoadMaker, type PacedLoad, type PacedPart } from "./load-maker.ts";
import { WorkerConnections } from "./worker-connection.ts";

/** A process of the generator: its share of the workers, on duty for the main process. */
export interface GeneratorPlan extends CallsOptions {
  readonly workers: number;
  /** Connections that only enqueue. */
  readonly producers: number;
  readonly timeoutMs: number;
  readonly notesFences: boolean;
}

/** What a process of the generator knows at the end. */
export interface GeneratorEnd {
  readonly ledger: WrittenLedger;
  readonly fences: readonly (readonly [fence: number, id: string])[];
  readonly doubtfulEnqueues: number;
  readonly doubtfulCompletions: readonly string[];
  readonly failures: readonly string[];
}

let made: { readonly calls: Calls; readonly maker: LoadMaker; close(): void } | undefined;

function maker(): LoadMaker {
  if (made === undefined) throw new Error("The generator is not open");
  return made.maker;
}

const duties = {
  async open(plan: GeneratorPlan): Promise<void> {
    const calls = new Calls(plan);
    calls.notesFences = plan.notesFences;
    const workers = await WorkerConnections.open(plan.url, plan.workers, plan.timeoutMs);
    const producers = await WorkerConnections.open(plan.url, plan.producers, plan.timeoutMs);
    const log = new EventLog((events) => tellParent(events));
    made = {
      calls,
      maker: new LoadMaker(calls, log, workers.all, producers.all, plan.delayMs !== undefined),
      close: () => {
        workers.close();
        producers.close();
      },
    };
  },

  /** Each worker asks again at once, in turn of the traffic; answers how busy this process was. */
  async saturate(argument: { seconds: number; traffic: "calls" | "drain" }) {
    const before = performance.eventLoopUtilization();
    const calls = await maker().saturate(argument.traffic, argument.seconds);
    return { calls, eventLoopUtilization: performance.eventLoopUtilization(before).utilization };
  },

  /** Open loop. */
  async pace(load: PacedLoad): Promise<PacedPart> {
    return maker().pace(load);
  },

  /** Closed loop: each worker enqueues, claims and completes, one after the other. */
  async cycle({ seconds }: { seconds: number }) {
    const before = performance.eventLoopUtilization();
    await maker().cycle(seconds);
    return { eventLoopUtilization: performance.eventLoopUtilization(before).utilization };
  },

  /** Parked claims from now on, until `stop`. */
  work(argument: { waitMs: number }): void {
    maker().work(argument.waitMs);
  },

  /** Ends whatever is under way, after the answers that are on their way. */
  stop(_: undefined): void {
    maker().stop();
  },

  /** Completes what is held, closes the connections, and hands over all that was noted. */
  async end(_: undefined): Promise<GeneratorEnd> {
    const calls = made?.calls as Calls;
    await maker().finish();
    made?.close();
    return {
      ledger: calls.ledger.written,
      fences: calls.fences,
      doubtfulEnqueues: calls.doubtfulEnqueues,
      doubtfulCompletions: calls.doubtfulCompletions,
      failures: maker().failures,
    };
  },
};

export type GeneratorDuties = typeof duties;
serveDuties(duties);
