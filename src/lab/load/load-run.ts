import { setTimeout as wait } from "node:timers/promises";
import type { BenchPlace } from "../bench/place.ts";
import { readEnvironment } from "../environment.ts";
import { LoadAccount } from "./account.ts";
import { Fleet } from "./fleet.ts";
import type { GeneratorEnd } from "./generator-process.ts";
import { limitOf } from "./limit.ts";
import { checkLoadReport, type LoadReport, type LoadSettings, type LoadTargetReport } from "./load-report.ts";
import { headlineOf, type LoadWish } from "./load-wish.ts";
import { memoryOf } from "./memory.ts";
import { outOfOrder, placesOf } from "./order.ts";
import { prefill } from "./prefilled.ts";
import { CALLS_A_TASK, rateText, settingsOf, WARMUP_S } from "./rate.ts";
import { LoadRecorder } from "./recorder.ts";
import { ServerWatch } from "./server-watch.ts";
import { Timeline } from "./timeline.ts";

const SATURATION_WARMUP_S = 1;
const SATURATION_S = 3;
/** Longer than any call may take, so that what is held is not handed out a second time. */
const LEASE_MS = 10 * 60_000;
const PARKED_MS = 30_000;
/** Connections that only enqueue, while workers wait. */
const PRODUCERS = 20;
const MACHINE_BUSY_PERCENT = 90;
const DRAIN_MS_MAX = 60_000;
const DRAIN_LOOK_MS = 50;
/** Finished tasks go soon, so that memory shows what the load costs and not what is kept of it. */
const RETENTION = { completedMs: 10_000, completedMax: 1_000 } as const;

/**
 * Runs a scenario on a place of its own and reports. An abort of the wish's signal ends it with what was measured
 * until then.
 *
 * @throws what the signal was aborted with when nothing was measured yet, and {@link Error} when the server fails
 * outside of the load.
 */
export async function runLoad(place: BenchPlace, wish: LoadWish): Promise<LoadReport> {
  const run = new LoadRun(place, wish);
  try {
    return checkLoadReport(await run.run());
  } finally {
    await run.close();
  }
}

/** What is under load, as the report says it. */
export function targetOf({ engine, server }: BenchPlace): LoadTargetReport {
  const { store, place, durability, redisVersion } = engine;
  return {
    store: store === "memory" ? "embedded" : store,
    place,
    durability,
    redisVersion,
    ownServer: server !== undefined,
  };
}

/** What is ready when the load may begin. */
interface Prepared {
  readonly queue: string;
  readonly fleet: Fleet;
  readonly settings: LoadSettings;
  /** Of the tasks that wait already, in the order of their enqueues. */
  readonly ids: readonly string[];
}

class LoadRun {
  readonly #place: BenchPlace;
  readonly #wish: LoadWish;
  readonly #url: string;
  readonly #account = new LoadAccount();
  readonly #notes: string[];
  #fleet: Fleet | undefined;

  constructor(place: BenchPlace, wish: LoadWish) {
    if (place.url === undefined) throw new Error("There is no server to be loaded");
    this.#url = place.url;
    this.#place = place;
    this.#wish = wish;
    this.#notes = [...place.notes];
  }

  async run(): Promise<LoadReport> {
    const environment = await readEnvironment();
    const saturation = await this.#saturation();
    const prepared = await this.#prepare(saturation);
    const { scenario, signal } = this.#wish;
    const startedAt = Date.now();
    const measured = await this.#measure(prepared);
    const { recorder, fences, ...figures } = measured;
    const delivery = await this.#account.audit(this.#place.connection);
    const { claimed, ...sums } = recorder.sums;
    return {
      format: "dibs-load",
      version: 1,
      scenario: scenario.name,
      question: scenario.question,
      startedAt,
      environment,
      target: targetOf(this.#place),
      settings: prepared.settings,
      complete: !signal.aborted,
      saturation,
      headline: headlineOf(this.#wish),
      operations: claimed,
      perSecond: claimed / figures.seconds,
      ...sums,
      ...figures,
      failures: [...this.#account.failures],
      latencies: recorder.summaries(),
      memory: memoryOf(figures.timeline),
      delivery: { ...delivery, examples: [...delivery.examples] },
      order: this.#order(prepared.ids, fences),
      thresholds: [],
      gates: [],
      notes: [...this.#notes, ...this.#account.remarks(delivery), ...busyNote(figures.machine)],
    };
  }

  async close(): Promise<void> {
    await this.#fleet?.kill();
  }

  /** What the server can do, where the rate depends on it. */
  async #saturation(): Promise<LoadReport["saturation"]> {
    const { scenario, loop, rate, signal, onProgress } = this.#wish;
    if (loop === "closed" || scenario.rate !== "half" || rate?.from === "the command line") return null;
    const fleet = await this.#start(await this.#newQueue(), "saturation");
    const say = (done: number) =>
      onProgress({ phase: "saturating", done, of: SATURATION_WARMUP_S + SATURATION_S });
    say(0);
    await fleet.saturate("calls", SATURATION_WARMUP_S);
    signal.throwIfAborted();
    say(SATURATION_WARMUP_S);
    const { callsPerSecond, eventLoopUtilization } = await fleet.saturate("calls", SATURATION_S);
    await this.#end(fleet);
    signal.throwIfAborted();
    if (callsPerSecond === 0)
      throw new Error(`The server answered no call: ${[...this.#account.failures].join("; ")}`);
    return {
      perSecond: callsPerSecond / CALLS_A_TASK.calls,
      limitedByGenerator: eventLoopUtilization > 0.95,
    };
  }

  async #prepare(saturation: LoadReport["saturation"]): Promise<Prepared> {
    const settings = settingsOf(this.#wish, saturation);
    this.#wish.onRate(rateText(settings, saturation));
    const queue = await this.#newQueue();
    const ids = await this.#prefill(queue, settings.prefill);
    const fleet = await this.#start(queue, "run");
    await this.#untilAborted(fleet, () => this.#warmUp(fleet, settings));
    this.#wish.signal.throwIfAborted();
    return { queue, fleet, settings, ids };
  }

  async #measure({ queue, fleet, settings }: Prepared) {
    const watch = await ServerWatch.start(this.#place, this.#url, this.#wish.token);
    const startedAt = performance.now();
    const timeline = new Timeline(this.#place, queue, (done, recorder, { ready }) => {
      const { seconds, onProgress } = this.#wish;
      const { errors, timeouts } = recorder.sums;
      onProgress({
        phase: done <= seconds ? "running" : "draining",
        done,
        of: seconds,
        second: { ...recorder.second(done - 1), ready },
        failed: errors + timeouts,
      });
    });
    const onStart = (startAt: number) => {
      const recorder = new LoadRecorder(headlineOf(this.#wish), startAt);
      fleet.onEvents = (events) => recorder.add(events);
      timeline.start(recorder);
      this.#wish.onProgress({ phase: "running", done: 0, of: this.#wish.seconds });
    };
    const driven = await this.#untilAborted(fleet, () => this.#drive(fleet, settings, onStart));
    await this.#drain(queue);
    const seconds = (performance.now() - startedAt) / 1_000;
    const server = await watch.stop();
    const points = await timeline.stop(seconds);
    const fences = await this.#end(fleet);
    const { recorder } = timeline;
    const p99Ms = recorder.latency(headlineOf(this.#wish)).percentileNs(99) / 1e6;
    const generator = limitOf({ ...driven, seconds, settings, claimed: recorder.sums.claimed, p99Ms });
    return { recorder, fences, seconds, timeline: points, generator, ...server };
  }

  async #newQueue(): Promise<string> {
    const queue = this.#place.newQueue();
    await this.#place.connection.configure(queue, { retention: RETENTION });
    this.#account.addQueue(queue);
    return queue;
  }

  async #prefill(queue: string, count: number): Promise<readonly string[]> {
    const { scenario, signal, onProgress } = this.#wish;
    const { priorities } = scenario;
    const ids = await prefill(this.#place.connection, this.#account.ledger, {
      queue,
      count,
      signal,
      ...(priorities !== undefined && { priorities }),
      onProgress: (done) => onProgress({ phase: "filling", done, of: count }),
    });
    signal.throwIfAborted();
    return ids;
  }

  async #start(queue: string, purpose: "saturation" | "run"): Promise<Fleet> {
    const { scenario, workers, processes, timeoutMs, token, loop } = this.#wish;
    const { priorities, delayMs, traffic } = scenario;
    const isScenario = purpose === "run" && loop === "open";
    this.#fleet = await Fleet.start({
      url: this.#url,
      queue,
      leaseMs: LEASE_MS,
      workers,
      processes,
      timeoutMs,
      producers: isScenario && traffic === "arrivals" ? PRODUCERS : 0,
      notesFences: isScenario && traffic === "drain",
      ...(token !== undefined && { token }),
      ...(priorities !== undefined && { priorities }),
      ...(isScenario && delayMs !== undefined && { delayMs }),
    });
    return this.#fleet;
  }

  async #warmUp(fleet: Fleet, settings: LoadSettings): Promise<void> {
    const { scenario, loop, onProgress } = this.#wish;
    const seconds = Math.min(WARMUP_S, this.#wish.seconds);
    onProgress({ phase: "warming up", done: 0, of: seconds });
    if (loop === "closed") {
      await fleet.saturate("calls", seconds);
      return;
    }
    if (scenario.traffic === "arrivals") await fleet.work(PARKED_MS);
    await fleet.pace({ ...this.#pacing(settings), seconds, isNoted: false });
  }

  #drive(fleet: Fleet, settings: LoadSettings, onStart: (startAt: number) => void) {
    const { seconds, loop } = this.#wish;
    return loop === "closed"
      ? fleet.cycle(seconds, onStart)
      : fleet.pace({ ...this.#pacing(settings), seconds, isNoted: true }, onStart);
  }

  #pacing({ perSecond }: LoadSettings) {
    const { traffic } = this.#wish.scenario;
    return { traffic, callsPerSecond: (perSecond ?? 0) * CALLS_A_TASK[traffic] };
  }

  async #untilAborted<T>(fleet: Fleet, what: () => Promise<T>): Promise<T> {
    const { signal } = this.#wish;
    const stop = () => void fleet.stop().catch(() => {}); // Whoever waits for it hears why it ended.
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await what();
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Until workers that wait for tasks have done all that came. */
  async #drain(queue: string): Promise<void> {
    const { signal, scenario, loop } = this.#wish;
    if (scenario.traffic !== "arrivals" || loop === "closed") return;
    const end = Date.now() + DRAIN_MS_MAX;
    while (!signal.aborted) {
      const { counts } = await this.#place.connection.queue(queue);
      const left = counts.ready + counts.leased + counts.scheduled;
      if (left === 0) return;
      if (Date.now() > end) {
        const waited = `${DRAIN_MS_MAX / 1_000} s after the last one had come`;
        this.#notes.push(`${left.toLocaleString("en-US")} tasks were not done ${waited}.`);
        return;
      }
      await wait(DRAIN_LOOK_MS);
    }
  }

  async #end(fleet: Fleet): Promise<GeneratorEnd["fences"]> {
    const ends = await fleet.end();
    this.#fleet = undefined;
    this.#account.add(ends);
    return ends.flatMap(({ fences }) => fences);
  }

  #order(ids: readonly string[], fences: GeneratorEnd["fences"]): LoadReport["order"] {
    const { scenario, loop } = this.#wish;
    if (scenario.traffic !== "drain" || loop === "closed") return null;
    return outOfOrder(fences, placesOf(ids, scenario.priorities ?? [0]));
  }
}

/** Beside busy neighbours nobody is fast. */
function busyNote(machine: LoadReport["machine"]): string[] {
  if (machine === null || machine.busyPercent + machine.stealPercent < MACHINE_BUSY_PERCENT) return [];
  const busy = `${machine.busyPercent.toFixed(0)} % busy`;
  return [
    `The machine was ${busy}, and ${machine.stealPercent.toFixed(0)} % of it was taken by others: what else ran on it is in these figures.`,
  ];
}
