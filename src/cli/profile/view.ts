import type { HotFunction } from "../../lab/profile/call-tree.ts";
import {
  type ContentionReport,
  type PartReport,
  type ProfileReport,
  type ProfileSettings,
  REMAINDER_MAX,
  type StretchReport,
} from "../../lab/profile/profile-report.ts";
import type { CommandReading, RedisSideReading } from "../../lab/profile/redis-side.ts";
import { bytes, count } from "../format.ts";
import type { Output } from "../output.ts";

/** What people see of a profile. */
export function showProfile(output: Output, report: ProfileReport): void {
  showStretches(output, report);
  showParts(output, report);
  showContention(output, report.contention);
  if (report.traced.redis !== null) showRedis(output, report.traced.redis, report.traced.claims);
  showHot(output, "CPU OF", report.hottest, (us) => `${(us / 1_000).toFixed(0)} ms`);
  showHot(output, "ALLOCATED BY", report.mostAllocating, (size) => bytes(Math.round(size)));
  for (const line of closingLines(report)) output.print(line);
}

export function titleOf(engine: ProfileReport["engine"], settings: ProfileSettings): string {
  const where = `${engine.redisVersion ?? engine.store}${engine.transport === "http" ? " over HTTP" : ", in process"}`;
  const { seconds, concurrency, depth, payloadBytes } = settings;
  const callers = `${concurrency} ${concurrency === 1 ? "caller" : "callers"}`;
  return `claim on ${where} (${engine.place}): ${callers}, ${count(depth)} deep, payloads of ${payloadBytes} bytes; three times ${seconds} s: unwatched, traced, sampled`;
}

function showStretches(output: Output, { unwatched, traced, sampled }: ProfileReport): void {
  const rows: [string, StretchReport][] = [
    ["unwatched", unwatched],
    ["traced", traced],
    ...(sampled === null ? [] : [["sampled", sampled] as [string, StretchReport]]),
  ];
  output.table(
    [
      { title: "", value: ([title]) => title },
      { title: "CLAIMS", value: ([, { claims }]) => count(claims) },
      { title: "CLAIMS/S", value: ([, { perSecond }]) => count(Math.round(perSecond)) },
      { title: "P50", value: ([, { p50Us }]) => us(p50Us) },
      { title: "P99", value: ([, { p99Us }]) => us(p99Us) },
      { title: "MAX", value: ([, { maxUs }]) => us(maxUs) },
      { title: "ERRORS", value: ([, { errors }]) => count(errors) },
    ],
    rows,
  );
  output.print("");
}

function showParts(output: Output, report: ProfileReport): void {
  const { parts, total, engine } = report;
  const isThere = ({ meanUs, part }: PartReport) => meanUs !== 0 || part === "remainder";
  const rows: PartReport[] = [
    ...parts.filter(isThere),
    { part: "remainder", ...total, p50Us: null, p99Us: null },
  ];
  const last = rows.length - 1;
  const name = ({ part }: PartReport, n: number) =>
    n === last
      ? "total"
      : engine.store === "redis"
        ? part
        : part.replace("storage call: this side", "storage call");
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;
  const numbered = rows.map((row, n) => ({ row, title: name(row, n) }));
  output.table(
    [
      { title: "PART OF A CLAIM", value: ({ title }) => title },
      { title: "AT P50", value: ({ row }) => us(row.atP50Us) },
      { title: "", value: ({ row }) => share(row.atP50Us, total.atP50Us) },
      { title: "SLOWEST 1 %", value: ({ row }) => us(row.slowestUs) },
      { title: "", value: ({ row }) => share(row.slowestUs, total.slowestUs) },
      { title: "MEAN", value: ({ row }) => us(row.meanUs) },
      { title: "ITS P50", value: ({ row }) => (row.p50Us === null ? "–" : us(row.p50Us)) },
      { title: "ITS P99", value: ({ row }) => (row.p99Us === null ? "–" : us(row.p99Us)) },
    ],
    numbered,
  );
  output.print("");
}

function showContention(output: Output, contention: ContentionReport): void {
  const { eventLoopUtilization, callerEventLoopUtilization, eventLoopDelayP99Ms } = contention;
  const { callsInFlight, mostCallsInFlight, claimsPerCall, redisQueueUs } = contention;
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const rows: [string, string][] = [
    ["event loop at work", percent(eventLoopUtilization)],
    ["event loop of the caller at work", percent(callerEventLoopUtilization)],
    ["event-loop delay, P99", `${eventLoopDelayP99Ms.toFixed(1)} ms`],
    ["storage calls in flight", `${callsInFlight.toFixed(2)}, at most ${mostCallsInFlight}`],
    ["claims a storage call", claimsPerCall.toFixed(1)],
    ...(redisQueueUs === null
      ? []
      : [["round trip less script: the way, and Redis's own queue", us(redisQueueUs)] as [string, string]]),
  ];
  output.table(
    [
      { title: "CONTENTION", value: ([what]) => what },
      { title: "", value: ([, figure]) => figure },
    ],
    rows,
  );
  output.print("");
}

function showRedis(output: Output, redis: RedisSideReading, claims: number): void {
  const { scripts, inner, overheadUs } = redis;
  const rows: [string, CommandReading][] = [
    ["scripts: round trips", scripts],
    ...Object.entries(inner).sort(([, a], [, b]) => b.us - a.us),
    ["script overhead: Lua itself", { calls: scripts.calls, us: overheadUs }],
  ];
  output.table(
    [
      { title: "REDIS", value: ([name]) => name },
      { title: "CALLS", value: ([, { calls }]) => count(calls) },
      { title: "A CLAIM", value: ([, { calls }]) => (calls / claims).toFixed(3) },
      { title: "µs A CALL", value: ([, each]) => (each.us / Math.max(1, each.calls)).toFixed(2) },
      { title: "µs A CLAIM", value: ([, each]) => (each.us / claims).toFixed(2) },
    ],
    rows,
  );
  for (const line of redisLines(redis)) output.print(line);
  output.print("");
}

function redisLines({ slow, latencyEvents, slowerThanUs, latencyThresholdMs }: RedisSideReading): string[] {
  const bound = slowerThanUs === undefined ? "" : ` (commands over ${us(slowerThanUs)})`;
  const monitor = latencyThresholdMs === undefined ? "" : ` (events over ${latencyThresholdMs} ms)`;
  const slowest = [...(slow ?? [])].sort((a, b) => b.us - a.us).slice(0, 3);
  return [
    slow === undefined
      ? "Slow log: this user may not read it"
      : `Slow log${bound}: ${slow.length === 0 ? "nothing" : `${slow.length}, the slowest ${slowest.map((each) => `${each.command} ${us(each.us)}`).join(", ")}`}`,
    latencyEvents === undefined
      ? "Latency events: this user may not read them"
      : latencyThresholdMs === 0
        ? "Latency events: the server's monitor is off (latency-monitor-threshold 0)"
        : `Latency events${monitor}: ${latencyEvents.length === 0 ? "none" : latencyEvents.map(({ event, maxMs }) => `${event} ${maxMs} ms`).join(", ")}`,
  ];
}

function showHot(
  output: Output,
  title: string,
  functions: readonly HotFunction[],
  shown: (value: number) => string,
): void {
  if (functions.length === 0) return;
  output.table(
    [
      { title, value: ({ name }) => name },
      { title: "IN", value: ({ where }) => where, flexible: true },
      { title: "ITSELF", value: ({ self }) => shown(self) },
      { title: "", value: ({ share }) => `${(100 * share).toFixed(1)} %` },
    ],
    functions,
  );
  output.print("");
}

function closingLines(report: ProfileReport): string[] {
  const { traced, unwatched, traces, every, unsplitTraces, remainder, scriptUs, complete, notes } = report;
  const slower = (100 * (traced.p50Us / unwatched.p50Us - 1)).toFixed(0);
  const tooMuch = Math.max(remainder.atP50, remainder.slowest) > REMAINDER_MAX;
  return [
    `${count(traces)} claims traced${every === 1 ? "" : `, one in ${every}`}${unsplitTraces === 0 ? "" : `, ${count(unsplitTraces)} not whole and left out`}. Tracing moved the P50 by ${slower} %.`,
    ...(scriptUs === null
      ? []
      : [
          `Script: the mean of these seconds, ${us(scriptUs)} a call, the same for every claim: Redis does not tell the time of one call.`,
        ]),
    ...(tooMuch
      ? [`The remainder is more than ${100 * REMAINDER_MAX} %: something here is not accounted for.`]
      : []),
    ...(complete ? [] : ["Not finished: what was measured until the interruption."]),
    ...notes,
  ];
}

/** Three digits and the unit that suits. */
function us(value: number): string {
  if (Math.abs(value) < 1_000)
    return `${value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0)} µs`;
  return `${(value / 1_000).toFixed(value < 10_000 ? 2 : 1)} ms`;
}
