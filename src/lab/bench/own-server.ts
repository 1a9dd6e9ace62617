import { Child } from "../child.ts";
import type { ProcessReading } from "../process-observer.ts";
import type { ProcessSample } from "../process-sampler.ts";
import type { AllocationProfile } from "../profile/allocation-sampler.ts";
import type { ProcessProbe, ProcessTraces, Watched } from "../profile/process-probe.ts";
import type { ProcessWatch } from "./process-watch.ts";
import type { ServedStore, ServerDuties } from "./server-process.ts";

/** A server in a process of its own, which ends with this one at the latest. */
export class OwnServer implements ProcessWatch, ProcessProbe {
  readonly url: string;
  readonly #child: Child<ServerDuties>;

  private constructor(child: Child<ServerDuties>, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(store: ServedStore): Promise<OwnServer> {
    const child = Child.start<ServerDuties>(new URL("./server-process.js", import.meta.url));
    try {
      return new OwnServer(child, await child.call("listen", store));
    } catch (error) {
      await child.end();
      throw error;
    }
  }

  beginRun(): Promise<void> {
    return this.#child.call("beginRun", undefined);
  }

  resume(): Promise<void> {
    return this.#child.call("resume", undefined);
  }

  pause(): Promise<void> {
    return this.#child.call("pause", undefined);
  }

  endRun(): Promise<ProcessReading> {
    return this.#child.call("endRun", undefined);
  }

  /** What its process went through since the sample before. */
  sample(): Promise<ProcessSample> {
    return this.#child.call("sample", undefined);
  }

  startProfile(): Promise<void> {
    return this.#child.call("startProfile", undefined);
  }

  writeProfile(path: string): Promise<void> {
    return this.#child.call("writeProfile", path);
  }

  prepare(every: number): Promise<void> {
    return this.#child.call("prepareProbe", every);
  }

  resumeProbe(what: Watched): Promise<void> {
    return this.#child.call("resumeProbe", what);
  }

  pauseProbe(what: Watched): Promise<void> {
    return this.#child.call("pauseProbe", what);
  }

  takeTraces(): Promise<ProcessTraces> {
    return this.#child.call("takeTraces", undefined);
  }

  takeAllocations(): Promise<AllocationProfile> {
    return this.#child.call("takeAllocations", undefined);
  }

  async close(): Promise<void> {
    try {
      await this.#child.call("close", undefined);
    } finally {
      await this.#child.end();
    }
  }
}
