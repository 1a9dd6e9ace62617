import type { Sample } from "../broker/exposition.ts";
import type { MetricFamily, MetricsPart } from "../broker/peers.ts";

/**
 * What processes counted before they ended, or said last when they do not answer: the sum over all processes must
 * not fall, because whoever scrapes it takes a fall for a restart. What a killed process counted after the last
 * look at it is lost.
 */
export class MetricsMemory {
  readonly #latest = new Map<number, MetricsPart>();
  #ended: MetricsPart = [];

  /** Notes what a process says of itself now. */
  heard(process: number, part: MetricsPart): void {
    this.#latest.set(process, part);
  }

  /** What the process said last, but for what is only true of the moment. */
  lastOf(process: number): MetricsPart {
    return lasting(this.#latest.get(process) ?? []);
  }

  /** Puts what a process counted to that of all that have ended. */
  ended(process: number): void {
    this.#ended = added(this.#ended, this.lastOf(process));
    this.#latest.delete(process);
  }

  /** What all processes counted that have ended. */
  get endedPart(): MetricsPart {
    return this.#ended;
  }
}

function lasting(part: MetricsPart): MetricsPart {
  return part.filter(({ type }) => type !== "gauge");
}

function added(one: MetricsPart, other: MetricsPart): MetricsPart {
  const families = new Map(one.map((family) => [family.name, family]));
  for (const family of other) {
    const known = families.get(family.name);
    families.set(family.name, known === undefined ? family : { ...known, values: summed(known, family) });
  }
  return [...families.values()];
}

function summed(one: MetricFamily, other: MetricFamily): Sample[] {
  const samples = new Map<string, Sample>();
  for (const sample of [...one.values, ...other.values]) {
    const key = `${sample.metricName ?? ""} ${JSON.stringify(sample.labels)}`;
    samples.set(key, { ...sample, value: sample.value + (samples.get(key)?.value ?? 0) });
  }
  return [...samples.values()];
}
