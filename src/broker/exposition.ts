import { AggregatorRegistry, type Metric, Registry } from "prom-client";
import type { Histogram } from "./histogram.ts";
import type { MetricFamily, MetricsPart } from "./peers.ts";

export type Labels = Readonly<Record<string, string>>;

/** One line of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** When it differs from the metric's: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** How the values of several processes become one. Default: their sum. */
  readonly aggregator?: "sum" | "average" | "max";
  /** Read from the store, and so the same in every process. */
  readonly isOfStore?: boolean;
  /** Called for each scrape. */
  readonly samples: () => readonly Sample[] | Promise<readonly Sample[]>;
}

/**
 * Turns numbers that are kept elsewhere into Prometheus text when somebody asks. The text and the registry
 * are prom-client's; its own counters are not used, because they hash their labels at each increment.
 */
export class Exposition {
  readonly #registry = new Registry();
  readonly #families: Family[] = [];

  get contentType(): string {
    return this.#registry.contentType;
  }

  add(family: Family): void {
    this.#families.push(family);
    const get = () => valuesOf(family);
    // What a registry asks of a metric is these two fields; its types name its own four classes.
    this.#registry.registerMetric({ name: family.name, get } as unknown as Metric);
  }

  /** Those families that processes of one server add up. */
  part(): Promise<MetricsPart> {
    return Promise.all(this.#families.filter(({ isOfStore }) => isOfStore !== true).map(valuesOf));
  }

  /** The text of this process and the parts of others together. */
  async renderWith(parts: readonly MetricsPart[]): Promise<string> {
    const own = await Promise.all(this.#families.map(valuesOf));
    return AggregatorRegistry.aggregate([own, ...parts].map((part) => [...part])).metrics();
  }

  render(): Promise<string> {
    return this.#registry.metrics();
  }
}

async function valuesOf({ name, help, type, aggregator = "sum", samples }: Family): Promise<MetricFamily> {
  return { name, help, type, aggregator, values: await samples() };
}

/** The lines of a histogram: cumulative buckets, sum and count. */
export function histogramSamples(name: string, histogram: Histogram, labels: Labels = {}): Sample[] {
  let below = 0;
  const buckets = Array.from(histogram.counts, (count, index): Sample => {
    below += count;
    const bound = histogram.bounds[index];
    const le = bound === undefined ? "+Inf" : String(bound);
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: histogram.sum },
    { metricName: `${name}_count`, labels, value: histogram.count },
  ];
}
