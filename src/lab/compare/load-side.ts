import { checkLoadReport, isLoadReport, type LoadPoint, type LoadReport } from "../load/load-report.ts";
import { medianOf } from "../statistics.ts";
import { machineOf, versionsOf } from "./bench-side.ts";
import type { RunFigures } from "./figures.ts";
import type { Reading } from "./reading.ts";

export const isLoad = isLoadReport;

/** A run is cut into so many parts, as k6's scripts do it. */
const PARTS = 10;

/** What `dibs load --save` wrote. @throws {Error} that names each wrong field. */
export function readLoad(value: unknown): Reading {
  return loadReading(checkLoadReport(value));
}

/** What of a report is compared. */
export type ComparedLoad = Pick<
  LoadReport,
  | "scenario"
  | "environment"
  | "target"
  | "settings"
  | "complete"
  | "headline"
  | "operations"
  | "perSecond"
  | "early"
  | "errors"
  | "timeouts"
  | "latencies"
  | "timeline"
  | "server"
  | "notes"
> & {
  readonly generator: Pick<LoadReport["generator"], "limit">;
  readonly delivery: Pick<LoadReport["delivery"], "faults">;
};

export function loadReading(report: ComparedLoad): Reading {
  const { environment, target, settings, scenario } = report;
  const { store, durability, redisVersion, ownServer } = target;
  const { rateFrom, perSecond, ...others } = settings;
  // Half of what was possible is never twice the same number.
  const rate = rateFrom === "half of saturation" || perSecond === null ? rateFrom : Math.round(perSecond);
  return {
    runs: partsOf(report.timeline).map(partFigures),
    whole: wholeFigures(report),
    machine: machineOf(environment),
    versions: { ...versionsOf(environment), redis: redisVersion },
    settings: {
      measured: `dibs load ${scenario}`,
      store,
      durability,
      ownServer,
      ...others,
      "tasks a second": rate,
    },
    commit: environment.commit,
    notes: notesOf(report),
  };
}

function partsOf(timeline: readonly LoadPoint[]): LoadPoint[][] {
  const points = timeline.filter(({ p50Ns, p99Ns }) => p50Ns !== null && p99Ns !== null);
  const size = Math.max(1, Math.floor(points.length / PARTS));
  const parts = Array.from({ length: PARTS }, (_, n) => points.slice(n * size, (n + 1) * size));
  return parts.filter((part) => part.length === size);
}

function partFigures(points: readonly LoadPoint[]): RunFigures {
  const total = (pick: (point: LoadPoint) => number) => points.reduce((sum, point) => sum + pick(point), 0);
  return {
    p50Ms: medianOf(points.map(({ p50Ns }) => (p50Ns ?? 0) / 1e6)),
    p99Ms: medianOf(points.map(({ p99Ns }) => (p99Ns ?? 0) / 1e6)),
    perSecond: total(({ claimed }) => claimed) / total(({ seconds }) => seconds),
    memoryBytes: Math.max(...points.map(({ rssBytes }) => rssBytes ?? 0)),
    operations: total(({ claimed }) => claimed),
    errors: total(({ errors }) => errors),
  };
}

function wholeFigures(report: ComparedLoad): RunFigures {
  const { latencies, headline, operations, perSecond, errors, timeouts, early, server, delivery } = report;
  const timed = latencies[headline];
  const faults = Object.values(delivery.faults).reduce((sum, count) => sum + count, 0);
  const process =
    server === null
      ? {}
      : { cpuUs: (server.cpu * server.seconds * 1e6) / operations, memoryBytes: server.rssBytesMax };
  return {
    p50Ms: (timed?.p50Ns ?? 0) / 1e6,
    p95Ms: (timed?.p95Ns ?? 0) / 1e6,
    p99Ms: (timed?.p99Ns ?? 0) / 1e6,
    perSecond,
    ...process,
    operations,
    errors: errors + timeouts + early + faults,
  };
}

function notesOf({ complete, environment, generator, notes }: ComparedLoad): string[] {
  return [
    ...(complete ? [] : ["interrupted: it has what was measured before"]),
    ...(environment.dirty ? ["measured with changes that are in no commit"] : []),
    ...(generator.limit === "generator" ? ["the load generator, not the server, was the limit"] : []),
    ...notes,
  ];
}
