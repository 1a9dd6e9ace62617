import type { Server } from "node:http";
import { PerformanceObserver } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Stretch } from "../process-observer.ts";
import { type AllocationProfile, AllocationSampler } from "./allocation-sampler.ts";
import { ClaimTracer, type StorageLoad } from "./claim-tracer.ts";
import { onSharedClock } from "./shared-clock.ts";
import { type PackedTraces, pack } from "./trace.ts";

/** What a process can be watched for: the way of its claims, or who allocates. */
export type Watched = "claims" | "allocations";

export interface ProcessTraces {
  readonly traces: PackedTraces;
  /** When it collected garbage, in order, milliseconds of the shared clock. */
  readonly pauses: readonly Stretch[];
  readonly load: StorageLoad;
}

/** Looks into one process while claims are profiled. It may be another one than this. */
export interface ProcessProbe {
  /** Prepares for tracing; of requests over HTTP one in `every`, of connections that are opened after it. */
  prepare(every: number): Promise<void>;
  resumeProbe(what: Watched): Promise<void>;
  pauseProbe(what: Watched): Promise<void>;
  takeTraces(): Promise<ProcessTraces>;
  takeAllocations(): Promise<AllocationProfile>;
}

/** Looks into the process that it runs in. */
export class OwnProbe implements ProcessProbe {
  tracer = new ClaimTracer();
  #allocations: AllocationSampler | undefined;
  #pauses: Stretch[] = [];
  readonly #gc = new PerformanceObserver((list) => this.#note(list.getEntries()));
  readonly #server: (() => Server | undefined) | undefined;

  /** `server`: whose requests are traced. */
  constructor(server?: () => Server | undefined) {
    this.#server = server;
  }

  async prepare(every: number): Promise<void> {
    this.tracer = new ClaimTracer(every);
    const server = this.#server?.();
    if (server !== undefined) this.tracer.watch(server);
  }

  async resumeProbe(what: Watched): Promise<void> {
    if (what === "allocations") {
      this.#allocations ??= new AllocationSampler();
      await this.#allocations.resume();
      return;
    }
    this.#gc.observe({ entryTypes: ["gc"] });
    this.tracer.resume();
  }

  async pauseProbe(what: Watched): Promise<void> {
    if (what === "allocations") {
      await this.#allocations?.pause();
      return;
    }
    this.tracer.pause();
    // Node hands entries over in a later turn than that of the collection.
    await nextTurn();
    this.#note(this.#gc.takeRecords());
    this.#gc.disconnect();
  }

  async takeTraces(): Promise<ProcessTraces> {
    const { traces, load } = this.tracer.take();
    const pauses = inOrder(this.#pauses);
    this.#pauses = [];
    return { traces: pack(traces), pauses, load };
  }

  async takeAllocations(): Promise<AllocationProfile> {
    if (this.#allocations === undefined) throw new Error("No allocations are sampled");
    const profile = this.#allocations.stop();
    this.#allocations = undefined;
    return profile;
  }

  #note(entries: readonly { readonly startTime: number; readonly duration: number }[]): void {
    for (const { startTime, duration } of entries) {
      const from = onSharedClock(startTime);
      this.#pauses.push([from, from + duration]);
    }
  }
}

/** Stretches in order; what overlaps is one. */
function inOrder(stretches: readonly Stretch[]): Stretch[] {
  const merged: [number, number][] = [];
  for (const [from, to] of [...stretches].sort(([a], [b]) => a - b)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}
