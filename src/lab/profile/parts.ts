import type { Stretch } from "../process-observer.ts";
import type { Stamp, Trace } from "./trace.ts";

/** What a claim's time is spent on. Each part has a beginning and an end of its own; see `docs/profile.md`. */
export const PARTS = [
  "client",
  "socket there",
  "HTTP parse",
  "held for the turn",
  "JSON",
  "validation",
  "broker queueing",
  "merge wait",
  "storage call: this side",
  "storage call: script",
  "storage call: way and queue of Redis",
  "HTTP answer",
  "socket back",
  "GC",
] as const;
export type Part = (typeof PARTS)[number];

/** Which process stands still when it collects, while a claim is there. */
type Whose = "caller" | "server";

interface Interval {
  readonly part: Part;
  readonly from: Stamp;
  readonly to: Stamp;
  readonly whose: readonly Whose[];
}

const CALLER = ["caller"] as const;
const SERVER = ["server"] as const;

const TRIP: Interval = {
  part: "storage call: way and queue of Redis",
  from: "flushed",
  to: "answered",
  whose: SERVER,
};
const INTERVALS: readonly Interval[] = [
  { part: "socket there", from: "left", to: "read", whose: SERVER },
  { part: "HTTP parse", from: "read", to: "arrived", whose: SERVER },
  { part: "held for the turn", from: "arrived", to: "served", whose: SERVER },
  { part: "JSON", from: "served", to: "checking", whose: SERVER },
  { part: "validation", from: "checking", to: "checked", whose: SERVER },
  { part: "broker queueing", from: "asked", to: "queued", whose: SERVER },
  { part: "merge wait", from: "queued", to: "sent", whose: SERVER },
  { part: "storage call: this side", from: "sent", to: "flushed", whose: SERVER },
  TRIP,
  { part: "storage call: this side", from: "answered", to: "replied", whose: SERVER },
  { part: "broker queueing", from: "replied", to: "resumed", whose: SERVER },
  { part: "JSON", from: "resumed", to: "told", whose: SERVER },
  { part: "held for the turn", from: "told", to: "writing", whose: SERVER },
  { part: "HTTP answer", from: "writing", to: "written", whose: SERVER },
  { part: "socket back", from: "written", to: "heard", whose: ["caller", "server"] },
];
const OVER_HTTP: readonly Interval[] = [
  { part: "client", from: "called", to: "left", whose: CALLER },
  { part: "client", from: "heard", to: "ended", whose: CALLER },
];
const IN_PROCESS: readonly Interval[] = [
  { part: "client", from: "called", to: "checking", whose: CALLER },
  { part: "client", from: "told", to: "ended", whose: CALLER },
];
/** Of an engine in the same process. */
const WITHOUT_WIRE: Interval = {
  part: "storage call: this side",
  from: "sent",
  to: "replied",
  whose: SERVER,
};

const NOTHING = Object.fromEntries(PARTS.map((part) => [part, 0])) as Record<Part, number>;

/** Collections of each process, in order; in process both are the same. */
export interface Pauses {
  readonly caller: readonly Stretch[];
  readonly server: readonly Stretch[];
}

/** One claim: what it took, and what each part of it took, milliseconds. What no part covers is the remainder. */
export interface ClaimSplit {
  readonly totalMs: number;
  readonly partsMs: Readonly<Record<Part, number>>;
}

/**
 * Splits a claim. `scriptMs` is what a script took in the mean of the time: Redis tells no more. Time in which a process
 * collected garbage is GC's and not that of the part in which it happened. Undefined for a claim whose way is not whole.
 */
export function splitOf(trace: Trace, pauses: Pauses, scriptMs: number): ClaimSplit | undefined {
  const totalMs = trace.ended - trace.called;
  if (Number.isNaN(totalMs) || Number.isNaN(trace.replied) || Number.isNaN(trace.told)) return undefined;
  const partsMs = { ...NOTHING };
  const moments = onTheWay(trace);
  for (const { part, from, to, whose } of intervalsOf(trace)) {
    const [begin, end] = [moments[from], moments[to]];
    if (!(end > begin)) continue;
    const collectedMs = Math.max(...whose.map((each) => overlapMs(pauses[each], begin, end)));
    partsMs.GC += collectedMs;
    partsMs[part] += end - begin - collectedMs;
  }
  const inScript = Math.min(scriptMs, partsMs[TRIP.part]);
  partsMs["storage call: script"] = inScript;
  partsMs[TRIP.part] -= inScript;
  return { totalMs, partsMs };
}

/**
 * One process may go on with a claim before the other has noted that it has given it away: what that one still does is
 * no longer on the claim's way.
 */
function onTheWay(trace: Trace): Trace {
  // In process there is no other side.
  if (Number.isNaN(trace.read) || Number.isNaN(trace.heard)) return trace;
  return {
    ...trace,
    left: Math.min(trace.left, trace.read),
    written: Math.min(trace.written, trace.heard),
  };
}

function* intervalsOf(trace: Trace): Iterable<Interval> {
  yield* INTERVALS;
  yield* trace.id === "" ? IN_PROCESS : OVER_HTTP;
  if (Number.isNaN(trace.flushed)) yield WITHOUT_WIRE;
}

/** How much of the time from `begin` to `end` lies in the stretches, which are in order and do not overlap. */
function overlapMs(stretches: readonly Stretch[], begin: number, end: number): number {
  let sum = 0;
  for (let n = firstEndingAfter(stretches, begin); n < stretches.length; n += 1) {
    const [from, to] = stretches[n] as Stretch;
    if (from >= end) break;
    sum += Math.min(end, to) - Math.max(begin, from);
  }
  return sum;
}

function firstEndingAfter(stretches: readonly Stretch[], moment: number): number {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((stretches[middle] as Stretch)[1] <= moment) low = middle + 1;
    else high = middle;
  }
  return low;
}
