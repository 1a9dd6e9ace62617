import { type Finding, graded, judged, shown } from "./finding.ts";

/** The samples of a Prometheus text, by name and labels as they stand there. */
export class ServerMetrics {
  readonly #samples = new Map<string, number>();

  /** Understands the text format; what is no sample is passed over. Source: Prometheus, "Exposition formats". */
  constructor(text: string) {
    for (const line of text.split("\n")) {
      const parts = /^(?<name>[a-z_][a-z0-9_]*)(?:\{(?<labels>.*)\})? (?<value>\S+)/i.exec(line)?.groups;
      if (parts !== undefined)
        this.#samples.set(`${parts["name"]}{${parts["labels"] ?? ""}}`, Number(parts["value"]));
    }
  }

  value(name: string, labels = ""): number | undefined {
    return this.#samples.get(`${name}{${labels}}`);
  }

  /** Sum of all samples of a name. */
  sum(name: string): number {
    let sum = 0;
    for (const [key, value] of this.#samples) if (key.startsWith(`${name}{`)) sum += value;
    return sum;
  }

  /** Upper bounds, seconds, and cumulative counts of a histogram without labels. */
  buckets(name: string): ReadonlyMap<number, number> {
    const buckets = new Map<number, number>();
    for (const [key, value] of this.#samples) {
      const bound = key.startsWith(`${name}_bucket{`) ? /le="([^"]+)"/.exec(key)?.[1] : undefined;
      if (bound !== undefined)
        buckets.set(bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound), value);
    }
    return buckets;
  }
}

/**
 * The bound, seconds, that a share of what came between two readings did not exceed; undefined when nothing came, or
 * when the server was started again in between.
 */
export function quantileBetween(
  before: ServerMetrics,
  after: ServerMetrics,
  name: string,
  share: number,
): number | undefined {
  const earlier = before.buckets(name);
  const fresh = [...after.buckets(name)]
    .map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)] as const)
    .sort(([one], [other]) => one - other);
  const total = fresh.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  return fresh.find(([, count]) => count >= share * total)?.[0];
}

/** What the server says of itself between two readings of its metrics. */
export function serverFindings(where: string, before: ServerMetrics, after: ServerMetrics): Finding[] {
  const errors = after.sum("dibs_storage_errors_total") - before.sum("dibs_storage_errors_total");
  const failed = after.value("dibs_storage_connections", 'state="failed"') ?? 0;
  const ready = after.value("dibs_storage_connections", 'state="ready"') ?? 0;
  return [
    judged(failed > 0 ? "red" : "green", {
      check: "pool",
      where,
      figure:
        failed > 0 ? `${failed} of ${failed + ready} processes without its storage` : "the storage stands",
      bound: "none without its storage",
      advice: "See /readyz and the log of the server for the reason",
    }),
    judged(errors > 0 ? "red" : "green", {
      check: "storage errors",
      where,
      figure:
        errors > 0
          ? `${errors} meanwhile`
          : `none meanwhile, ${after.sum("dibs_storage_errors_total")} since its start`,
      bound: "none",
      advice:
        "Calls of the storage fail: see the log of the server, and run this command on the store itself",
    }),
    ...delayFindings(where, before, after),
  ];
}

function delayFindings(where: string, before: ServerMetrics, after: ServerMetrics): Finding[] {
  const line = (check: string, name: string, share: number, yellow: number, red: number, advice: string) => {
    const seconds = quantileBetween(before, after, name, share);
    const value = (seconds ?? 0) * 1_000;
    const most = Number.isFinite(value) ? `up to ${shown(value, "ms")}` : "beyond every bound";
    return graded({
      check,
      where,
      value,
      unit: "ms",
      yellow,
      red,
      advice,
      figure: seconds === undefined ? "none meanwhile" : most,
    });
  };
  return [
    line(
      "event-loop delay, P99",
      "dibs_event_loop_delay_seconds",
      0.99,
      10,
      50,
      "The server is too busy: more processes (--processes, on Redis), smaller payloads and pages, a machine with less beside it",
    ),
    line(
      "GC pause, longest",
      "dibs_gc_pause_seconds",
      1,
      20,
      50,
      "The heap of the server is too full: smaller payloads, smaller batches, more memory (--max-old-space-size)",
    ),
  ];
}
