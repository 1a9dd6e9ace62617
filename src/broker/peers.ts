import type { QueueName } from "../task/ids.ts";
import type { Sample } from "./exposition.ts";

/** The counts of a minute window as they travel: bucket, count, bucket, count, … */
export type WindowCounts = readonly number[];

/** What one broker knows of a queue and the store does not. */
export interface QueueFigures {
  /** Claims parked on it. */
  readonly waiting: number;
  readonly claim: WindowCounts;
  readonly wait: WindowCounts;
}

/** One family of metrics as it travels. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly aggregator: string;
  readonly values: readonly Sample[];
}

/** The metrics of one process, without those that it reads from the store, which all have in common. */
export type MetricsPart = readonly MetricFamily[];

/** What a broker knows by itself, for its peers to add. */
export interface OwnFigures {
  queue(queue: QueueName): QueueFigures;
  /** By queue, where it is not 0. */
  waiting(): Readonly<Record<string, number>>;
  metrics(): Promise<MetricsPart>;
}

/**
 * The other processes of a server that runs in several. What a broker says of itself is then the sum with theirs;
 * what it reads from the store is everybody's already. One that cannot answer in time is left out.
 */
export interface Peers {
  queue(queue: QueueName): Promise<readonly QueueFigures[]>;
  waiting(): Promise<readonly Readonly<Record<string, number>>[]>;
  /** `own` is what this process would answer: it is remembered for when it has ended, so that no counter falls. */
  metrics(own: MetricsPart): Promise<readonly MetricsPart[]>;
}

export const NO_PEERS: Peers = {
  queue: async () => [],
  waiting: async () => [],
  metrics: async () => [],
};
