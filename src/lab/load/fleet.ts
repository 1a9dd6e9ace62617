import { Child } from "../child.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import { toShared } from "./event-log.ts";
import type { GeneratorDuties, GeneratorEnd, GeneratorPlan } from "./generator-process.ts";
import type { PacedPart } from "./load-maker.ts";
import type { Traffic } from "./scenario.ts";

export interface FleetPlan extends Omit<GeneratorPlan, "workers" | "producers"> {
  /** Of all processes together. */
  readonly workers: number;
  readonly producers: number;
  readonly processes: number;
}

/** How an open loop of all processes went. */
export interface PacedSums {
  readonly seconds: number;
  readonly sent: number;
  readonly unsent: number;
  readonly heldBack: number;
  /** See `PacingResult`. */
  readonly heldBackIdle: number;
  readonly lag: LatencyHistogram;
  /** Of the busiest process. */
  readonly eventLoopUtilization: number;
}

/** Time for the message to reach all processes before the first call is meant to leave. */
const HEAD_START_NS = 100e6;

/** The processes of the generator, as one. */
export class Fleet {
  readonly #children: readonly Child<GeneratorDuties>[];
  /** Told of calls as they end. */
  onEvents: (events: Float64Array) => void = () => {};

  private constructor(count: number) {
    this.#children = Array.from({ length: count }, () =>
      Child.start<GeneratorDuties>(new URL("./generator-process.js", import.meta.url), {
        onNews: (news) => this.onEvents(news as Float64Array),
      }),
    );
  }

  /** Starts the processes and opens their connections. @throws {Error} when the server does not take them. */
  static async start(plan: FleetPlan): Promise<Fleet> {
    const processes = Math.max(1, Math.min(plan.processes, plan.workers));
    const fleet = new Fleet(processes);
    try {
      await fleet.#each((child, n) =>
        child.call("open", {
          ...plan,
          workers: shareOf(plan.workers, n, processes),
          producers: plan.producers === 0 ? 0 : Math.max(1, shareOf(plan.producers, n, processes)),
        }),
      );
      return fleet;
    } catch (error) {
      await fleet.kill();
      throw error;
    }
  }

  get processes(): number {
    return this.#children.length;
  }

  /** Calls a second when every worker asks again at once, and how busy the least busy process was. */
  async saturate(traffic: "calls" | "drain", seconds: number) {
    const parts = await this.#each((child) => child.call("saturate", { traffic, seconds }));
    const calls = parts.reduce((sum, part) => sum + part.calls, 0);
    return {
      callsPerSecond: calls / seconds,
      eventLoopUtilization: Math.min(...parts.map((part) => part.eventLoopUtilization)),
    };
  }

  /** `callsPerSecond` of all processes, dealt evenly; `onStart` hears when the first is meant to leave. */
  async pace(
    load: { traffic: Traffic; callsPerSecond: number; seconds: number; isNoted: boolean },
    onStart: (startAt: number) => void = () => {},
  ): Promise<PacedSums> {
    const { traffic, callsPerSecond, seconds, isNoted } = load;
    const startAt = toShared(nowNs()) + HEAD_START_NS;
    onStart(startAt);
    const parts = await this.#each((child, n) =>
      child.call("pace", {
        traffic,
        seconds,
        isNoted,
        perSecond: callsPerSecond / this.processes,
        startAt: startAt + (n * 1e9) / callsPerSecond,
      }),
    );
    return sumsOf(parts);
  }

  async cycle(seconds: number, onStart: (startAt: number) => void) {
    onStart(toShared(nowNs()));
    const parts = await this.#each((child) => child.call("cycle", { seconds }));
    return { eventLoopUtilization: Math.max(...parts.map((part) => part.eventLoopUtilization)) };
  }

  async work(waitMs: number): Promise<void> {
    await this.#each((child) => child.call("work", { waitMs }));
  }

  async stop(): Promise<void> {
    await this.#each((child) => child.call("stop", undefined));
  }

  async end(): Promise<readonly GeneratorEnd[]> {
    const ends = await this.#each((child) => child.call("end", undefined));
    for (const child of this.#children) await child.end();
    return ends;
  }

  /** For when something went wrong. */
  async kill(): Promise<void> {
    for (const child of this.#children) await child.kill();
  }

  #each<T>(what: (child: Child<GeneratorDuties>, n: number) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#children.map(what));
  }
}

function shareOf(total: number, n: number, processes: number): number {
  return Math.floor(total / processes) + (n < total % processes ? 1 : 0);
}

function sumsOf(parts: readonly PacedPart[]): PacedSums {
  const lag = new LatencyHistogram();
  for (const part of parts) lag.merge(LatencyHistogram.decode(part.lag));
  const sum = (pick: (part: PacedPart) => number) => parts.reduce((total, part) => total + pick(part), 0);
  return {
    seconds: Math.max(...parts.map((part) => part.seconds)),
    sent: sum((part) => part.sent),
    unsent: sum((part) => part.unsent),
    heldBack: sum((part) => part.heldBack),
    heldBackIdle: Math.min(...parts.map((part) => part.heldBackIdle)),
    lag,
    eventLoopUtilization: Math.max(...parts.map((part) => part.eventLoopUtilization)),
  };
}
