import type { BenchPlace } from "../bench/place.ts";
import { machineShare, readCoreTicks } from "../machine-share.ts";
import { type RuntimeBuckets, readRuntimeBuckets, runtimeBetween } from "./server-figures.ts";

/** What server and machine went through during the load: from inside of a server of our own, else from its metrics. */
export class ServerWatch {
  readonly #place: BenchPlace;
  readonly #metrics: () => Promise<RuntimeBuckets | undefined>;
  readonly #ticks = readCoreTicks();
  #before: RuntimeBuckets | undefined;

  private constructor(place: BenchPlace, metrics: () => Promise<RuntimeBuckets | undefined>) {
    this.#place = place;
    this.#metrics = metrics;
  }

  static async start(place: BenchPlace, url: string, token: string | undefined): Promise<ServerWatch> {
    // A server that does not tell its metrics is loaded all the same: what they would say is then not known.
    const watch = new ServerWatch(place, () => readRuntimeBuckets(url, token).catch(() => undefined));
    if (place.server === undefined) watch.#before = await watch.#metrics();
    await place.server?.beginRun();
    await place.server?.resume();
    return watch;
  }

  async stop() {
    await this.#place.server?.pause();
    const server = (await this.#place.server?.endRun()) ?? null;
    const machine = machineShare(this.#ticks, readCoreTicks()) ?? null;
    if (server !== null) {
      const { gcPauseMaxMs, eventLoopDelayP99Ms } = server;
      return { server, machine, gcPauseMaxMs, eventLoopDelayP99Ms };
    }
    const [before, after] = [this.#before, await this.#metrics()];
    const runtime =
      before === undefined || after === undefined
        ? { gcPauseMaxMs: null, eventLoopDelayP99Ms: null }
        : runtimeBetween(before, after);
    return { server, machine, ...runtime };
  }
}
