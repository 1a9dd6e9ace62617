import { writeFile } from "node:fs/promises";
import { CpuProfiler } from "../cpu-profile.ts";
import { ProcessObserver, type ProcessReading, type Stretch } from "../process-observer.ts";

/** Watches one process over the runs of a bench: a reading for each run, and one CPU profile over all of them. */
export interface ProcessWatch {
  /** Watches from the next `resume` on. */
  beginRun(): Promise<void>;
  resume(): Promise<void>;
  pause(): Promise<void>;
  endRun(): Promise<ProcessReading>;
  startProfile(): Promise<void>;
  /** Writes what was sampled between `resume` and `pause` as a `.cpuprofile`. */
  writeProfile(path: string): Promise<void>;
}

/** Watches the process that it runs in. */
export class OwnProcess implements ProcessWatch {
  readonly #stretches: Stretch[] = [];
  #observer: ProcessObserver | undefined;
  #profiler: CpuProfiler | undefined;

  async beginRun(): Promise<void> {
    this.#observer = ProcessObserver.paused();
  }

  async resume(): Promise<void> {
    this.#running().resume();
  }

  async pause(): Promise<void> {
    this.#running().pause();
  }

  async endRun(): Promise<ProcessReading> {
    const observer = this.#running();
    this.#observer = undefined;
    const reading = await observer.stop();
    if (this.#profiler !== undefined) this.#stretches.push(...observer.stretches);
    return reading;
  }

  async startProfile(): Promise<void> {
    this.#profiler = await CpuProfiler.start();
  }

  async writeProfile(path: string): Promise<void> {
    if (this.#profiler === undefined) throw new Error("Nothing is profiled");
    const profile = await this.#profiler.stop(this.#stretches);
    this.#profiler = undefined;
    await writeFile(path, JSON.stringify(profile));
  }

  #running(): ProcessObserver {
    if (this.#observer === undefined) throw new Error("No run is watched");
    return this.#observer;
  }
}
