import { readFileSync } from "node:fs";

/** Time that the machine's cores spent since it started, in ticks of the kernel's clock, all cores together. */
export interface CoreTicks {
  readonly busy: number;
  /** Ticks that the hypervisor gave to others while we wanted to run. */
  readonly steal: number;
  readonly total: number;
}

/** Shares of all cores' time, 0 to 100. High `busyPercent` beyond our own processes means noisy neighbours. */
export interface MachineShare {
  readonly busyPercent: number;
  readonly stealPercent: number;
}

/** Reads the kernel's counters; undefined where there is no `/proc/stat` (only Linux has it). */
export function readCoreTicks(): CoreTicks | undefined {
  try {
    return parseCoreTicks(readFileSync("/proc/stat", "utf8"));
  } catch {
    // Not Linux: the report says that the shares are unknown.
    return undefined;
  }
}

/**
 * Understands the first line of `/proc/stat`: user nice system idle iowait irq softirq steal guest guest_nice.
 * Guest time is part of user time already. Source: proc_stat(5).
 */
export function parseCoreTicks(text: string): CoreTicks {
  const [label, ...fields] = text.slice(0, text.indexOf("\n")).trim().split(/\s+/);
  const [user = 0, nice = 0, system = 0, idle = 0, ioWait = 0, irq = 0, softIrq = 0, steal = 0] =
    fields.map(Number);
  if (label !== "cpu") throw new Error(`Expected /proc/stat to begin with "cpu", got "${label}"`);
  const busy = user + nice + system + irq + softIrq;
  return { busy, steal, total: busy + steal + idle + ioWait };
}

/** What happened between two readings; undefined when a reading is missing or no tick passed. */
export function machineShare(
  before: CoreTicks | undefined,
  after: CoreTicks | undefined,
): MachineShare | undefined {
  if (before === undefined || after === undefined || after.total <= before.total) return undefined;
  const percent = (ticks: number) => (100 * ticks) / (after.total - before.total);
  return {
    busyPercent: percent(after.busy - before.busy),
    stealPercent: percent(after.steal - before.steal),
  };
}
