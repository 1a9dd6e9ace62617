import type { Storage } from "../storage/storage.ts";
import type { QueueSnapshot } from "../task/queue.ts";
import { TASK_STATES } from "../task/task.ts";
import { Exposition, type Family, histogramSamples, type Sample } from "./exposition.ts";
import type { Histogram } from "./histogram.ts";
import type { Meters, QueueMeter, VerbMeter } from "./meters.ts";
import { type MetricsPart, NO_PEERS, type Peers } from "./peers.ts";
import type { QueueSnapshots } from "./queue-snapshots.ts";
import type { RuntimeMetrics } from "./runtime-metrics.ts";
import type { TaskCache } from "./task-cache.ts";

/** What `/metrics` says, and how it is written. */
export interface BrokerMetrics {
  readonly contentType: string;
  /** Prometheus text. Costs one look at each queue, whatever the number of tasks. */
  render(): Promise<string>;
  /** What a peer adds to its own. */
  part(): Promise<MetricsPart>;
}

export interface MetricsSources {
  readonly meters: Meters;
  readonly runtime: RuntimeMetrics;
  readonly snapshots: QueueSnapshots;
  readonly storage: Storage;
  readonly cache: TaskCache;
  readonly waitingClaims: () => number;
  readonly peers: Peers;
}

/** All metrics of a broker, named as in the HTTP contract. Labels: `queue`, `outcome`, `state`, `verb`. */
export function brokerMetrics(sources: MetricsSources): BrokerMetrics {
  const exposition = new Exposition();
  const families = [
    ...durations(sources),
    ...totals(sources),
    ...depths(sources),
    ...storageFamilies(sources),
    ...runtimeFamilies(sources),
    ...cacheFamilies(sources),
  ];
  for (const family of families) exposition.add(family);
  const { peers } = sources;
  return {
    contentType: exposition.contentType,
    part: () => exposition.part(),
    async render() {
      if (peers === NO_PEERS) return exposition.render();
      return exposition.renderWith(await peers.metrics(await exposition.part()));
    },
  };
}

function durations({ meters }: MetricsSources): Family[] {
  const claim = "dibs_claim_duration_seconds";
  return [
    {
      name: claim,
      help: "Time of a claim; after waiting, from the moment when something was there.",
      type: "histogram",
      samples: () =>
        Object.entries(meters.claimSeconds).flatMap(([outcome, seconds]) =>
          histogramSamples(claim, seconds, { outcome }),
        ),
    },
    plain(
      "dibs_enqueue_duration_seconds",
      "Time of an enqueue, single or many.",
      () => meters.enqueueSeconds,
    ),
    plain("dibs_settle_duration_seconds", "Time of a settle, without waiting.", () => meters.settleSeconds),
    plain("dibs_schedule_lateness_seconds", "From a due time to ready.", () => meters.latenessSeconds),
    byQueue(meters, "dibs_task_wait_seconds", "From enqueue, or due time, to claim.", (of) => of.waitSeconds),
    byQueue(meters, "dibs_task_run_seconds", "From claim to the end of the claim.", (of) => of.runSeconds),
  ];
}

function totals({ meters }: MetricsSources): Family[] {
  const total = (name: string, help: string, value: (meter: QueueMeter) => number): Family => ({
    name,
    help,
    type: "counter",
    samples: () => [...meters.queues].map(([queue, meter]) => ({ labels: { queue }, value: value(meter) })),
  });
  return [
    total("dibs_tasks_enqueued_total", "Tasks accepted.", (meter) => meter.enqueued),
    total("dibs_tasks_claimed_total", "Tasks handed out.", (meter) => meter.claimed),
    total("dibs_tasks_completed_total", "Tasks completed.", (meter) => meter.completed),
    total("dibs_tasks_nacked_total", "Attempts that were nacked.", (meter) => meter.nacked),
    total("dibs_tasks_dead_total", "Tasks that became dead letters.", (meter) => meter.dead),
    total("dibs_leases_expired_total", "Leases that ended unsettled.", (meter) => meter.leasesExpired),
    total("dibs_leases_lost_total", "Calls whose lease was lost.", (meter) => meter.leasesLost),
  ];
}

function depths({ meters, snapshots, storage, waitingClaims }: MetricsSources): Family[] {
  // A store that is down must not take the metrics along.
  const recent = () => snapshots.recent().catch((): readonly QueueSnapshot[] => []);
  return [
    {
      name: "dibs_queue_depth",
      help: "Tasks by state.",
      type: "gauge",
      isOfStore: true,
      samples: async () => depthSamples(await recent(), meters),
    },
    {
      name: "dibs_oldest_ready_age_seconds",
      help: "Age of the task that is ready longest; 0 when none is.",
      type: "gauge",
      isOfStore: true,
      samples: async () => ageSamples(await recent(), meters, storage.clock.now()),
    },
    gauge("dibs_waiting_claims", "Claims that wait for tasks.", waitingClaims),
  ];
}

function storageFamilies({ meters, storage }: MetricsSources): Family[] {
  const seconds = "dibs_storage_call_duration_seconds";
  const merged = "dibs_merged_calls";
  return [
    {
      name: seconds,
      help: "Time of a storage call.",
      type: "histogram",
      samples: () => byVerb(meters, ([verb, meter]) => histogramSamples(seconds, meter.seconds, { verb })),
    },
    {
      name: merged,
      help: "Callers that shared a storage call.",
      type: "histogram",
      samples: () =>
        byVerb(meters, ([verb, meter]) =>
          meter.merged.count === 0 ? [] : histogramSamples(merged, meter.merged, { verb }),
        ),
    },
    {
      name: "dibs_storage_errors_total",
      help: "Storage calls that failed.",
      type: "counter",
      samples: () => byVerb(meters, ([verb, meter]) => [{ labels: { verb }, value: meter.errors }]),
    },
    {
      name: "dibs_storage_connections",
      help: "Connections to the storage; an engine in the process counts as one.",
      type: "gauge",
      samples: () => {
        const ready = storage.trouble() === undefined ? 1 : 0;
        return [
          { labels: { state: "ready" }, value: ready },
          { labels: { state: "failed" }, value: 1 - ready },
        ];
      },
    },
  ];
}

function runtimeFamilies({ runtime }: MetricsSources): Family[] {
  return [
    plain("dibs_gc_pause_seconds", "Pauses for garbage collection.", () => runtime.gcPauseSeconds),
    plain("dibs_event_loop_delay_seconds", "How late the event loop was.", () => runtime.loopDelaySeconds()),
  ];
}

function cacheFamilies({ cache }: MetricsSources): Family[] {
  const counter = (name: string, help: string, value: () => number): Family => ({
    ...gauge(name, help, value),
    type: "counter",
  });
  return [
    counter("dibs_cache_hits_total", "Reads by id that the metadata cache answered.", () => cache.hits),
    counter("dibs_cache_misses_total", "Reads by id that it could not answer while on.", () => cache.misses),
    counter(
      "dibs_cache_invalidations_total",
      "Entries that a write removed from it.",
      () => cache.invalidations,
    ),
    {
      ...gauge("dibs_cache_enabled", "1 while the metadata cache is on.", () => (cache.isOn ? 1 : 0)),
      aggregator: "max",
    },
    gauge("dibs_cache_entries", "Tasks that it keeps.", () => cache.size),
    {
      ...gauge(
        "dibs_cache_reads_per_write",
        "Reads by id for each task written, lately.",
        () => cache.readsAWrite,
      ),
      aggregator: "average",
    },
  ];
}

function gauge(name: string, help: string, value: () => number): Family {
  return { name, help, type: "gauge", samples: () => [{ labels: {}, value: value() }] };
}

function plain(name: string, help: string, histogram: () => Histogram): Family {
  return { name, help, type: "histogram", samples: () => histogramSamples(name, histogram()) };
}

function byQueue(
  meters: Meters,
  name: string,
  help: string,
  histogram: (meter: QueueMeter) => Histogram,
): Family {
  const samples = () =>
    [...meters.queues].flatMap(([queue, meter]) => histogramSamples(name, histogram(meter), { queue }));
  return { name, help, type: "histogram", samples };
}

function byVerb(meters: Meters, samples: (entry: [string, VerbMeter]) => readonly Sample[]): Sample[] {
  return [...meters.verbs].flatMap(samples);
}

function depthSamples(snapshots: readonly QueueSnapshot[], meters: Meters): Sample[] {
  return TASK_STATES.flatMap((state) => {
    const sums = perLabel(
      snapshots,
      meters,
      ({ counts }) => counts[state],
      (a, b) => a + b,
    );
    return [...sums].map(([queue, value]) => ({ labels: { queue, state }, value }));
  });
}

function ageSamples(snapshots: readonly QueueSnapshot[], meters: Meters, now: number): Sample[] {
  const age = ({ oldestReadyAt }: QueueSnapshot) =>
    oldestReadyAt === undefined ? 0 : Math.max(0, now - oldestReadyAt) / 1_000;
  return [...perLabel(snapshots, meters, age, Math.max)].map(([queue, value]) => ({
    labels: { queue },
    value,
  }));
}

function perLabel(
  snapshots: readonly QueueSnapshot[],
  meters: Meters,
  value: (snapshot: QueueSnapshot) => number,
  join: (a: number, b: number) => number,
): Map<string, number> {
  const joined = new Map<string, number>();
  for (const snapshot of snapshots) {
    const label = meters.label(snapshot.queue);
    const before = joined.get(label);
    joined.set(label, before === undefined ? value(snapshot) : join(before, value(snapshot)));
  }
  return joined;
}
