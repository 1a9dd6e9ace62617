import { readFile } from "node:fs/promises";
import type { BenchPlace } from "../bench/place.ts";
import type { CpuProfile } from "../cpu-profile.ts";
import { readEnvironment } from "../environment.ts";
import type { AllocationProfile } from "./allocation-sampler.ts";
import { allocationTree, type CallTree, cpuTree, hottest } from "./call-tree.ts";
import type { StorageLoad } from "./claim-tracer.ts";
import { HttpClaims } from "./http-claims.ts";
import { LocalClaims } from "./local-claims.ts";
import { PARTS, type Pauses } from "./parts.ts";
import { OwnProbe, type ProcessProbe, type Watched } from "./process-probe.ts";
import type {
  ContentionReport,
  PartReport,
  ProfileReport,
  ProfileSettings,
  StretchReport,
} from "./profile-report.ts";
import type { RedisSide } from "./redis-side.ts";
import { type Splits, splitsOf } from "./split.ts";
import { claimFor, type StretchOptions, type Switched } from "./stretch.ts";
import { joined, unpack } from "./trace.ts";

export type ProfileStep = "warm-up" | "unwatched" | "traced" | "sampled";

export interface ProfileOptions {
  readonly settings: ProfileSettings;
  /** Where the CPU profile of the process that answers is written. */
  readonly cpuFile: string;
  readonly redis: RedisSide | undefined;
  /** Ends it early: the report then holds what was measured until then. */
  readonly signal: AbortSignal;
  readonly onProgress?: (step: ProfileStep, done: number) => void;
}

/** What a profile found: the report, and what is too much for it. */
export interface Profiled {
  readonly report: ProfileReport;
  /** Of the sampled seconds; undefined after an interruption before them. */
  readonly samples:
    | {
        readonly cpu: CallTree;
        readonly allocations: CallTree;
        readonly allocationProfile: AllocationProfile;
      }
    | undefined;
}

const WARMUP_SECONDS = 1;
/** More claims than this are not traced but one in so many: they would fill memory and say no more. */
const TRACES_MAX = 100_000;
const HOT_FUNCTIONS = 12;

/**
 * Claims three times for as long: unwatched, to know what watching costs; traced, for where the time goes; sampled, for
 * what the processor and the heap do. Redis is looked at in all three. Undefined when it was interrupted before
 * anything was traced.
 *
 * @throws {Error} when no claim succeeds.
 */
export async function profileClaims(
  place: BenchPlace,
  options: ProfileOptions,
): Promise<Profiled | undefined> {
  return new ClaimProfile(place, options).run();
}

class ClaimProfile {
  readonly #place: BenchPlace;
  readonly #options: ProfileOptions;
  readonly #own = new OwnProbe();
  readonly #probe: ProcessProbe;

  constructor(place: BenchPlace, options: ProfileOptions) {
    this.#place = place;
    this.#options = options;
    this.#probe = place.server ?? this.#own;
  }

  async run(): Promise<Profiled | undefined> {
    const { settings, signal } = this.#options;
    const startedAt = Date.now();
    const environment = await readEnvironment();
    await this.#claim("warm-up", { seconds: Math.min(WARMUP_SECONDS, settings.seconds) });
    const unwatched = await this.#claim("unwatched", {});
    if (unwatched === undefined || signal.aborted) return undefined;
    const every = Math.ceil((unwatched.perSecond * settings.seconds) / TRACES_MAX);
    const { stretch: traced, traces, pauses, load } = await this.#trace(every);
    if (traced === undefined) return undefined;
    const scriptUs = scriptOf(traced);
    const splits = splitsOf(traces, pauses, (scriptUs ?? 0) / 1_000);
    if (splits === undefined) throw new Error("Claims succeeded, and not one of them could be traced");
    const { stretch: sampled, samples } = await this.#sample();
    const report: ProfileReport = {
      format: "dibs-profile",
      version: 1,
      startedAt,
      environment,
      engine: this.#place.engine,
      settings,
      complete: sampled !== undefined && !signal.aborted,
      unwatched,
      traced,
      sampled: sampled ?? null,
      every,
      traces: traces.length,
      unsplitTraces: splits.unsplit,
      ...tableOf(splits),
      contention: contentionOf(traced, load, scriptUs, splits),
      scriptUs,
      hottest: samples === undefined ? [] : hottest(samples.cpu, HOT_FUNCTIONS),
      mostAllocating: samples === undefined ? [] : hottest(samples.allocations, HOT_FUNCTIONS),
      notes: this.#place.notes,
    };
    return { report, samples };
  }

  async #trace(every: number) {
    const { server } = this.#place;
    await this.#probe.prepare(every);
    // Over HTTP by new connections: the server notes when it reads from those that are opened after `prepare`.
    const connection = server === undefined ? this.#place.connection : await this.#place.another();
    const caller =
      server === undefined
        ? new LocalClaims(connection, this.#own.tracer, every)
        : new HttpClaims(connection, every);
    const watches = [
      ...(caller instanceof HttpClaims ? [switchedAtOnce(caller), probing(this.#own, "claims")] : []),
      probing(this.#probe, "claims"),
    ];
    const stretch = await this.#claim("traced", { connection: caller, watches });
    const { traces: packed, pauses, load } = await this.#probe.takeTraces();
    const served = unpack(packed);
    const own = server === undefined ? { pauses } : await this.#own.takeTraces();
    return {
      stretch,
      traces: caller instanceof HttpClaims ? joined(caller.take(), served) : served,
      pauses: { caller: own.pauses, server: pauses } satisfies Pauses,
      load,
    };
  }

  async #sample(): Promise<{ stretch?: StretchReport; samples: Profiled["samples"] }> {
    const { signal, cpuFile } = this.#options;
    if (signal.aborted) return { samples: undefined };
    const answering = this.#place.server ?? this.#place.client;
    await answering.startProfile();
    const stretch = await this.#claim("sampled", { watches: [probing(this.#probe, "allocations")] });
    await answering.writeProfile(cpuFile);
    if (stretch === undefined) return { samples: undefined };
    const allocationProfile = await this.#probe.takeAllocations();
    const cpu = cpuTree(JSON.parse(await readFile(cpuFile, "utf8")) as CpuProfile);
    return { stretch, samples: { cpu, allocations: allocationTree(allocationProfile), allocationProfile } };
  }

  #claim(step: ProfileStep, change: Partial<StretchOptions>): Promise<StretchReport | undefined> {
    const { settings, redis, signal, onProgress } = this.#options;
    return claimFor(this.#place, {
      settings,
      seconds: settings.seconds,
      connection: this.#place.connection,
      watches: [],
      redis,
      signal,
      onProgress: (done) => onProgress?.(step, done),
      ...change,
    });
  }
}

function probing(probe: ProcessProbe, what: Watched): Switched {
  return { resume: () => probe.resumeProbe(what), pause: () => probe.pauseProbe(what) };
}

function switchedAtOnce(claims: HttpClaims): Switched {
  return { resume: async () => claims.resume(), pause: async () => claims.pause() };
}

/** Mean microseconds of a script of the stretch. */
function scriptOf({ redis }: StretchReport): number | null {
  if (redis === null) return null;
  return redis.scripts.calls === 0 ? 0 : redis.scripts.us / redis.scripts.calls;
}

function tableOf({
  atP50,
  slowest,
  all,
  percentilesUs,
}: Splits): Pick<ProfileReport, "total" | "parts" | "remainder"> {
  const parts: PartReport[] = PARTS.map((part) => ({
    part,
    atP50Us: atP50.partsUs[part],
    slowestUs: slowest.partsUs[part],
    meanUs: all.partsUs[part],
    p50Us: percentilesUs[part].p50,
    p99Us: percentilesUs[part].p99,
  }));
  parts.push({
    part: "remainder",
    atP50Us: atP50.remainderUs,
    slowestUs: slowest.remainderUs,
    meanUs: all.remainderUs,
    p50Us: null,
    p99Us: null,
  });
  return {
    total: { atP50Us: atP50.totalUs, slowestUs: slowest.totalUs, meanUs: all.totalUs },
    parts,
    remainder: {
      atP50: atP50.remainderUs / atP50.totalUs,
      slowest: slowest.remainderUs / slowest.totalUs,
    },
  };
}

function contentionOf(
  traced: StretchReport,
  load: StorageLoad,
  scriptUs: number | null,
  { all }: Splits,
): ContentionReport {
  const answering = traced.server ?? traced.caller;
  return {
    eventLoopUtilization: answering.eventLoopUtilization,
    callerEventLoopUtilization: traced.caller.eventLoopUtilization,
    eventLoopDelayP99Ms: answering.eventLoopDelayP99Ms,
    callsInFlight: load.underWayMs / (traced.seconds * 1_000),
    mostCallsInFlight: load.mostUnderWay,
    claimsPerCall: load.calls === 0 ? 0 : load.claims / load.calls,
    redisQueueUs: scriptUs === null ? null : all.partsUs["storage call: way and queue of Redis"],
  };
}
