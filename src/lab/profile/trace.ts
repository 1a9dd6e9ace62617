/**
 * The moments of one claim, in order: those of `claim-marks.ts`, of the server's socket (`read`), and of the caller:
 * it called, its request had left, the head of the answer was there, it had its tasks.
 */
export const STAMPS = [
  "called",
  "left",
  "read",
  "arrived",
  "served",
  "checking",
  "checked",
  "asked",
  "queued",
  "sent",
  "handed",
  "flushed",
  "answered",
  "replied",
  "resumed",
  "told",
  "writing",
  "written",
  "heard",
  "ended",
] as const;
export type Stamp = (typeof STAMPS)[number];

/** One claim's moments, milliseconds of the shared clock; NaN where it did not pass. */
export type Trace = { [S in Stamp]: number } & {
  /** Of its HTTP request; "" in process. */
  id: string;
};

export function newTrace(id = ""): Trace {
  return {
    id,
    called: Number.NaN,
    left: Number.NaN,
    read: Number.NaN,
    arrived: Number.NaN,
    served: Number.NaN,
    checking: Number.NaN,
    checked: Number.NaN,
    asked: Number.NaN,
    queued: Number.NaN,
    sent: Number.NaN,
    handed: Number.NaN,
    flushed: Number.NaN,
    answered: Number.NaN,
    replied: Number.NaN,
    resumed: Number.NaN,
    told: Number.NaN,
    writing: Number.NaN,
    written: Number.NaN,
    heard: Number.NaN,
    ended: Number.NaN,
  };
}

/** True for one request in `every`, and for the same ones in the process that asks and in the one that answers. */
export function isPicked(id: string, every: number): boolean {
  return every === 1 || Number.parseInt(id.slice(id.lastIndexOf("-") + 1), 36) % every === 0;
}

/** Traces as they cross between processes. */
export interface PackedTraces {
  readonly ids: readonly string[];
  readonly moments: Float64Array;
}

export function pack(traces: readonly Trace[]): PackedTraces {
  const moments = new Float64Array(traces.length * STAMPS.length);
  let at = 0;
  for (const trace of traces) for (const stamp of STAMPS) moments[at++] = trace[stamp];
  return { ids: traces.map(({ id }) => id), moments };
}

export function unpack({ ids, moments }: PackedTraces): Trace[] {
  return ids.map((id, n) => {
    const trace = newTrace(id);
    STAMPS.forEach((stamp, k) => {
      trace[stamp] = moments[n * STAMPS.length + k] as number;
    });
    return trace;
  });
}

/** The caller's moments put together with those of the server, by the request's id. */
export function joined(callers: readonly Trace[], servers: readonly Trace[]): Trace[] {
  const byId = new Map(callers.map((trace) => [trace.id, trace]));
  return servers.flatMap((trace) => {
    const caller = byId.get(trace.id);
    if (caller === undefined) return [];
    const { called, left, heard, ended } = caller;
    return [{ ...trace, called, left, heard, ended }];
  });
}
