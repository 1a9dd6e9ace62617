import { type BenchReport, type BenchRun, checkBenchReport, isBenchReport } from "../bench/report.ts";
import type { Report } from "../report.ts";
import type { RunFigures } from "./figures.ts";
import type { Reading } from "./reading.ts";

export const isBench = isBenchReport;

/** What `dibs bench --save` wrote. @throws {Error} that names each wrong field. */
export function readBench(value: unknown): Reading {
  const report = checkBenchReport(value);
  const { runs: _, ...settings } = report.settings;
  const { store, transport, durability, redisVersion } = report.engine;
  return {
    runs: report.runs.map((run) => figuresOf(report, run)),
    machine: machineOf(report.environment),
    versions: { ...versionsOf(report.environment), redis: redisVersion },
    settings: { measured: `dibs bench ${report.name}`, store, transport, durability, ...settings },
    commit: report.environment.commit,
    notes: notesOf(report),
  };
}

function figuresOf({ name }: BenchReport, run: BenchRun): RunFigures {
  const timed = run.latencies[name];
  const { cpuUsPerOperation, rssBytesMax } = run.server ?? run.client;
  const faults = Object.values(run.delivery.faults).reduce((sum, count) => sum + count, 0);
  return {
    p50Ms: (timed?.p50Ns ?? 0) / 1e6,
    p95Ms: (timed?.p95Ns ?? 0) / 1e6,
    p99Ms: (timed?.p99Ns ?? 0) / 1e6,
    perSecond: run.perSecond,
    cpuUs: cpuUsPerOperation,
    memoryBytes: rssBytesMax,
    operations: run.operations,
    errors: run.errors + run.timeouts + faults,
  };
}

function notesOf({ complete, environment, notes }: BenchReport): string[] {
  return [
    ...(complete ? [] : ["interrupted: it has the runs that were finished before"]),
    ...(environment.dirty ? ["measured with changes that are in no commit"] : []),
    ...notes,
  ];
}

/** What makes a machine another one. */
export function machineOf({ cpuModel, cores, memoryBytes, os }: Report["environment"]): Reading["machine"] {
  return { cpu: cpuModel, cores, "memory GB": Math.round(memoryBytes / 1e9), os };
}

/** What makes a version another one; the commit may differ, it is what is compared. */
export function versionsOf({ node, dibs }: Report["environment"]): Reading["versions"] {
  return { node, dibs };
}
