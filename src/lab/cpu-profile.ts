import type { Profiler } from "node:inspector";
import { Session } from "node:inspector/promises";
import type { Stretch } from "./process-observer.ts";

/** As V8 writes it and every viewer of `.cpuprofile` files reads it. Times are microseconds. */
export type CpuProfile = Profiler.Profile;

const INTERVAL_US_DEFAULT = 200;

/** Samples the call stack of this process's main thread. */
export class CpuProfiler {
  readonly #session: Session;
  /** From `performance.now()` to the clock of profiles: the system's monotonic one. */
  readonly #offsetUs = Number(process.hrtime.bigint()) / 1_000 - performance.now() * 1_000;

  private constructor(session: Session) {
    this.#session = session;
  }

  static async start(intervalUs = INTERVAL_US_DEFAULT): Promise<CpuProfiler> {
    const session = new Session();
    session.connect();
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: intervalUs });
    await session.post("Profiler.start");
    return new CpuProfiler(session);
  }

  /** The profile of these stretches alone, as if there had been nothing between them; of all without any. Once. */
  async stop(stretches?: readonly Stretch[]): Promise<CpuProfile> {
    const { profile } = await this.#session.post("Profiler.stop");
    this.#session.disconnect();
    if (stretches === undefined) return profile;
    return within(
      profile,
      stretches.map(([from, to]) => [from * 1_000 + this.#offsetUs, to * 1_000 + this.#offsetUs]),
    );
  }
}

/** Leaves out the samples that were taken outside of the stretches (microseconds, in order). */
export function within(profile: CpuProfile, stretches: readonly Stretch[]): CpuProfile {
  const { samples = [], timeDeltas = [] } = profile;
  const kept: { readonly node: number; readonly deltaUs: number }[] = [];
  let at = profile.startTime;
  let place = 0;
  samples.forEach((node, n) => {
    const before = at;
    at += timeDeltas[n] ?? 0;
    while (place < stretches.length && at > (stretches[place] as Stretch)[1]) place += 1;
    const stretch = stretches[place];
    if (stretch === undefined || at < stretch[0]) return;
    kept.push({ node, deltaUs: Math.max(0, at - Math.max(before, stretch[0])) });
  });
  const hits = new Map<number, number>();
  for (const { node } of kept) hits.set(node, (hits.get(node) ?? 0) + 1);
  const lastedUs = kept.reduce((sum, { deltaUs }) => sum + deltaUs, 0);
  return {
    nodes: profile.nodes.map((node) => ({ ...node, hitCount: hits.get(node.id) ?? 0 })),
    startTime: profile.startTime,
    endTime: profile.startTime + Math.round(lastedUs),
    samples: kept.map(({ node }) => node),
    timeDeltas: kept.map(({ deltaUs }) => Math.round(deltaUs)),
  };
}
