import { duration, figure } from "../markdown.ts";
import type { LadderReport, LadderRow, ReadRow, Standing } from "./ladder-report.ts";

/** The product's own rung, as most use it: the last one. */
const PRODUCT = "dibs-worker";

/** A column of the ladder's tables, for the terminal and for Markdown. */
export interface LadderColumn<Row> {
  readonly title: string;
  value(row: Row): string;
}

export const CLAIM_COLUMNS: readonly LadderColumn<LadderRow>[] = [
  { title: "rung", value: ({ rung }) => rung },
  { title: "P50", value: ({ p50Ns }) => duration(p50Ns.median) },
  { title: "P99", value: ({ p99Ns }) => duration(p99Ns.median) },
  { title: "cycle P50", value: ({ cycleP50Ns }) => duration(cycleP50Ns.median) },
  { title: "tasks/s", value: ({ tasksPerSecond }) => figure(tasksPerSecond.median) },
  { title: "trips", value: ({ roundTrips }) => figure(roundTrips) },
  { title: "calls", value: ({ redisCalls }) => figure(redisCalls) },
  { title: "server", value: ({ serverUs }) => duration(serverUs * 1e3) },
  { title: "client", value: ({ clientCpuUs }) => duration(clientCpuUs * 1e3) },
  { title: "again", value: againOf },
  { title: "lost", value: ({ lost }) => figure(lost) },
  { title: "P50 ×", value: ({ factor }) => (factor === null ? "" : figure(factor.p50.median)) },
  {
    title: "tasks/s ×",
    value: ({ factor }) => (factor === null ? "" : figure(factor.tasksPerSecond.median)),
  },
  { title: "over", value: ({ factor }) => factor?.over ?? "" },
];

export const READ_COLUMNS: readonly LadderColumn<ReadRow>[] = [
  { title: "reads : writes", value: ({ readsAWrite }) => `${readsAWrite}:1` },
  { title: "callers", value: ({ callers }) => figure(callers) },
  { title: "cache", value: ({ cache }) => cache },
  { title: "read mean", value: ({ readMeanNs }) => duration(readMeanNs.median) },
  { title: "read P50", value: ({ readP50Ns }) => duration(readP50Ns.median) },
  { title: "read P99", value: ({ readP99Ns }) => duration(readP99Ns.median) },
  { title: "calls/s", value: ({ callsPerSecond }) => figure(callsPerSecond.median) },
  { title: "trips", value: ({ roundTrips }) => figure(roundTrips) },
  { title: "server CPU", value: ({ serverCpuUs }) => duration(serverCpuUs * 1e3) },
  { title: "read mean ×", value: ({ factor }) => (factor === null ? "" : figure(factor.readMean.median)) },
  {
    title: "calls/s ×",
    value: ({ factor }) => (factor === null ? "" : figure(factor.callsPerSecond.median)),
  },
];

/** What the columns mean. */
export const CLAIM_LEGEND =
  "P50 and P99 are of a claim of a whole batch, cycle is claim and completion together. For each completed task: trips, " +
  "calls (redis.call in scripts), server (time inside commands) and client (CPU of the process that claims). again: " +
  "deliveries of tasks that had been handed out already, and their share. × is the factor over the rung named last, taken " +
  "inside each repetition.";

/** How often tasks were handed out again, with the share of all deliveries. */
export function againOf({ again, claimed }: Pick<LadderRow, "again" | "claimed">): string {
  return again === 0 ? "0" : `${again.toLocaleString("en-US")} (${figure((100 * again) / claimed)} %)`;
}

export function cellName({ depth, callers }: Pick<LadderRow, "depth" | "callers">): string {
  return `${depth.toLocaleString("en-US")} pending, ${callers === 1 ? "1 caller" : `${callers} callers`}`;
}

/** The rows by cell, in order. */
export function cellsOf({ rows }: Pick<LadderReport, "rows">): readonly (readonly LadderRow[])[] {
  const cells = new Map<string, LadderRow[]>();
  for (const row of rows) {
    const cell = cells.get(cellName(row));
    if (cell === undefined) cells.set(cellName(row), [row]);
    else cell.push(row);
  }
  return [...cells.values()];
}

/** From the first rung to the product, and where the product stands among the others: sentences for each cell. */
export function sentencesOf(report: LadderReport): string[] {
  return cellsOf(report).flatMap((rows) => {
    const [first] = rows as [LadderRow];
    const last = rows.find(({ rung }) => rung === PRODUCT);
    const standings = report.standings.filter(
      ({ depth, callers }) => depth === first.depth && callers === first.callers,
    );
    return [
      ...(last === undefined || first === last ? [] : [`${cellName(first)}: ${climbOf(first, last)}.`]),
      ...standings.map((standing) => `${cellName(first)}: ${standingOf(standing)}.`),
    ];
  });
}

function climbOf(first: LadderRow, last: LadderRow): string {
  const [from, to] = [first.tasksPerSecond.median, last.tasksPerSecond.median];
  const doubles = first.again === 0 ? "" : `; ${first.rung} handed out again ${againOf(first)}`;
  return (
    `from ${first.rung} to ${last.rung} the cycle's P50 goes from ${duration(first.cycleP50Ns.median)} to ` +
    `${duration(last.cycleP50Ns.median)}, tasks/s from ${figure(from)} to ${figure(to)}, ${figure(to / from)} times as many${doubles}`
  );
}

function standingOf({ product, cycle, tasksPerSecond }: Standing): string {
  return (
    `${product} takes ${figure(cycle.factor.median)} × the cycle of ${cycle.best} and does ` +
    `${figure(tasksPerSecond.factor.median)} × the tasks/s of ${tasksPerSecond.best}, the best of the other safe rungs of its batch`
  );
}
