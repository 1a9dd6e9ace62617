import { type MachineShare, machineShare, readCoreTicks } from "../machine-share.ts";
import { ProcessObserver, type ProcessReading } from "../process-observer.ts";
import { type Finding, graded } from "./finding.ts";

const HERE = "this machine";

/** What this machine and this process did while something else was measured. */
export interface MachineReading {
  readonly process: ProcessReading;
  /** Undefined where the system does not tell. */
  readonly share: MachineShare | undefined;
}

/** Runs `work` and watches this process and machine meanwhile. */
export async function watched<T>(work: () => Promise<T>): Promise<[T, MachineReading]> {
  const ticks = readCoreTicks();
  const observer = ProcessObserver.start();
  const result = await work();
  const process = await observer.stop();
  return [result, { process, share: machineShare(ticks, readCoreTicks()) }];
}

/**
 * Whether the machine that asks is fit to judge: what delays it here, delays a worker here too. Bounds: yellow are the
 * goals for a server under load, red what the success metrics of a claim allow (a pause of 50 ms).
 */
export function machineFindings({ process, share }: MachineReading): Finding[] {
  const findings = [
    graded({
      check: "event-loop delay, P99",
      where: HERE,
      value: process.eventLoopDelayP99Ms,
      unit: "ms",
      yellow: 10,
      red: 50,
      advice:
        "This machine is too busy to measure well, or to work well: see what else runs here; every figure of this report may be too high by as much",
    }),
    graded({
      check: "GC pause, longest",
      where: HERE,
      value: process.gcPauseMaxMs,
      unit: "ms",
      yellow: 20,
      red: 50,
      advice: "Give this machine memory: a pause stops heartbeats and claims alike",
    }),
  ];
  if (share === undefined) return findings;
  const { stealPercent, busyPercent } = share;
  return [
    ...findings,
    graded({
      check: "CPU steal",
      where: HERE,
      value: stealPercent,
      unit: "%",
      yellow: 2,
      red: 10,
      advice:
        "The host gives this machine's processors to others: move it, or take a size whose processors are its own",
    }),
    graded({
      check: "CPU in use",
      where: HERE,
      value: busyPercent,
      unit: "%",
      yellow: 85,
      // A machine may be busy with what it is there for; where that hurts, the lines above say so.
      red: Number.POSITIVE_INFINITY,
      advice: "Nothing is left for a peak: see what runs here, or take more processors",
    }),
  ];
}
