import { barChart } from "../chart/bar-chart.ts";
import type { LadderReport, LadderRow } from "./ladder-report.ts";

/** The concurrency at which throughput is drawn, where it was measured. */
const BUSY_CALLERS = 50;

/** One row of bars for each rung: the cycle of the fewest callers, and tasks/s of many, at every depth. */
export function ladderChart({ rungs, rows, parameters, redis }: LadderReport): string {
  const { depths, callers } = parameters;
  const few = Math.min(...callers);
  const many = callers.includes(BUSY_CALLERS) ? BUSY_CALLERS : Math.max(...callers);
  const valuesOf = (count: number, pick: (row: LadderRow) => number) =>
    rungs.map(({ name }) =>
      depths.map((depth) => {
        const row = rows.find((each) => each.rung === name && each.depth === depth && each.callers === count);
        return row === undefined ? undefined : pick(row);
      }),
    );
  const doubles = (name: string) => rows.some(({ rung, again }) => rung === name && again > 0);
  return barChart({
    id: "ladder",
    title: "Claiming from Redis, rung by rung",
    description:
      `Time of a claim with its completion at ${few} callers, and tasks a second at ${many}, of each way to claim tasks on ` +
      `${redis.version}, from scanning for one to Dibs. Rungs that handed a task out twice are marked.`,
    groups: rungs.map(({ name }) => ({ name, ...(doubles(name) && { note: "hands out twice" }) })),
    series: depths.map((depth) => `${depth.toLocaleString("en-US")} pending`),
    panels: [
      {
        axis: { label: `cycle P50, µs, ${few === 1 ? "1 caller" : `${few} callers`}`, scale: "log" },
        values: valuesOf(few, ({ cycleP50Ns }) => cycleP50Ns.median / 1e3),
      },
      {
        axis: { label: `tasks/s, ${many === 1 ? "1 caller" : `${many} callers`}`, scale: "log" },
        values: valuesOf(many, ({ tasksPerSecond }) => tasksPerSecond.median),
      },
    ],
  });
}
