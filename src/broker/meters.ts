import type { QueueName } from "../task/ids.ts";
import { BATCH_BOUNDS, DURATION_BOUNDS, Histogram, LATENCY_BOUNDS } from "./histogram.ts";

/** So many queues have a label of their own in the metrics; the rest share {@link OTHER_QUEUES}. */
export const QUEUE_LABELS_MAX = 100;
export const OTHER_QUEUES = "other";

/** `waited`: the claim was parked before; its time then counts from when it was woken. */
export type ClaimOutcome = "hit" | "empty" | "waited";

/** What is counted for one queue label. Totals since the broker opened; seconds. */
export class QueueMeter {
  enqueued = 0;
  claimed = 0;
  completed = 0;
  nacked = 0;
  dead = 0;
  leasesExpired = 0;
  leasesLost = 0;
  readonly waitSeconds = new Histogram(DURATION_BOUNDS);
  readonly runSeconds = new Histogram(DURATION_BOUNDS);
}

/** What is counted for one verb of the storage port. */
export class VerbMeter {
  errors = 0;
  readonly seconds = new Histogram(LATENCY_BOUNDS);
  /** Calls that travelled together, for the verbs that are merged. */
  readonly merged = new Histogram(BATCH_BOUNDS);
}

/**
 * The numbers behind `/metrics`, as plain fields: the claim path adds to them and allocates nothing. They
 * become text in `metrics.ts`, when somebody asks.
 */
export class Meters {
  readonly claimSeconds: Readonly<Record<ClaimOutcome, Histogram>> = {
    hit: new Histogram(LATENCY_BOUNDS),
    empty: new Histogram(LATENCY_BOUNDS),
    waited: new Histogram(LATENCY_BOUNDS),
  };
  readonly enqueueSeconds = new Histogram(LATENCY_BOUNDS);
  readonly settleSeconds = new Histogram(LATENCY_BOUNDS);
  readonly latenessSeconds = new Histogram(LATENCY_BOUNDS);
  readonly verbs = new Map<string, VerbMeter>();
  readonly queues = new Map<string, QueueMeter>();
  readonly #labels = new Set<string>();

  verb(name: string): VerbMeter {
    const known = this.verbs.get(name);
    if (known !== undefined) return known;
    const meter = new VerbMeter();
    this.verbs.set(name, meter);
    return meter;
  }

  queue(name: QueueName): QueueMeter {
    const label = this.label(name);
    const known = this.queues.get(label);
    if (known !== undefined) return known;
    const meter = new QueueMeter();
    this.queues.set(label, meter);
    return meter;
  }

  /** The label of a queue: its name for the first hundred, so that nobody fills the memory with names. */
  label(name: QueueName): string {
    if (this.#labels.size < QUEUE_LABELS_MAX) this.#labels.add(name);
    return this.#labels.has(name) ? name : OTHER_QUEUES;
  }
}
