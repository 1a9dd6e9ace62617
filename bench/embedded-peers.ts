import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { PAYLOAD_BYTES, payloadPool } from "../src/lab/payload.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import {
  type Candidate,
  latencyNs,
  type Measurement,
  perSecond,
  type RunOptions,
  ratioOf,
  runInterleaved,
  seriesNamed,
} from "../src/lab/run.ts";
import { bareFlush, brokerBatch, callers } from "./embedded-cycle.ts";
import { collectGarbage } from "./engine.ts";
import { repeatFor } from "./loop.ts";
import { PlainQueue, SqliteQueue, type Synchronous } from "./sqlite-queue.ts";

const PAYLOADS = payloadPool();

/** What would one use instead, without a service, and how fast is that? */
export const embeddedPeers: Benchmark = {
  name: "embedded-peers",
  question:
    "How many tasks a second go through enqueue, claim and complete in one process, against what one would use instead of Dibs " +
    "without a service: a table of one's own in better-sqlite3 (WAL, synchronous NORMAL, a transaction a call), and plainjob on " +
    `it? And where each answer is on disk: power mode at 1, 50 and 200 callers, against synchronous FULL. ${PAYLOAD_BYTES}-byte payloads.`,
  changesOurMind:
    "A peer that does more tasks a second, or claims sooner, at the same promise: then a journal of our own is not worth its code.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const series = await runInterleaved(
    [
      brokerBatch(1),
      sqlite(1, "NORMAL"),
      plainQueue,
      brokerBatch(32),
      sqlite(32, "NORMAL"),
      callers(50, "process"),
      ...[1, 50, 200].map((count) => callers(count, "power")),
      sqlite(1, "FULL"),
      sqlite(32, "FULL"),
      bareFlush,
    ],
    options,
  );
  const beside = (candidate: string, baseline: string) => {
    const [own, other] = [seriesNamed(series, candidate), seriesNamed(series, baseline)];
    return [
      { measure: "tasks/s", candidate, baseline, ...ratioOf(own, other, perSecond) },
      { measure: "claim P50", candidate, baseline, ...ratioOf(own, other, latencyNs("claim", 50)) },
      { measure: "claim P99", candidate, baseline, ...ratioOf(own, other, latencyNs("claim", 99)) },
    ];
  };
  return {
    parameters: { payloadBytes: PAYLOAD_BYTES },
    series,
    comparisons: [
      ...beside("batch 1", "better-sqlite3, batch 1"),
      ...beside("batch 1", plainQueue.name),
      ...beside("batch 32", "better-sqlite3, batch 32"),
      ...beside("50 callers", "better-sqlite3, batch 1"),
      ...beside("1 caller, power", "better-sqlite3 FULL, batch 1"),
      ...beside("50 callers, power", "better-sqlite3 FULL, batch 1"),
      ...beside("200 callers, power", "better-sqlite3 FULL, batch 1"),
    ],
    targets: [],
    notes: [
      "Batches: one caller, three calls a batch, each a transaction with SQLite. better-sqlite3 is synchronous: further callers in " +
        "one process only wait for each other, so it has one row for any number of them. With synchronous NORMAL a power cut takes the " +
        "un-synced tail, as in Dibs' process mode, and with FULL nothing, as in power mode. The table keeps what finished for ever; Dibs by its default retention.",
    ],
  };
}

/** One caller that moves `size` tasks a transaction. */
function sqlite(size: number, synchronous: Synchronous): Candidate {
  return {
    name: `better-sqlite3${synchronous === "FULL" ? " FULL" : ""}, batch ${size}`,
    measure: ({ seconds }) =>
      inFolder(async (file) => {
        const queue = await SqliteQueue.open(file, synchronous);
        try {
          return await measured(
            seconds,
            () => queue.pending(),
            (ledger, claims) => {
              const ids = queue.enqueue(Array.from({ length: size }, nextPayload));
              const startedAt = nowNs();
              const leases = queue.claim(size);
              claims.record(nowNs() - startedAt);
              const completed = queue.complete(leases);
              if (completed !== leases.length) throw new Error(`${completed} of ${leases.length} completed`);
              for (const id of ids) ledger.enqueued(String(id));
              for (const { id } of leases) {
                ledger.claimed(String(id));
                ledger.completed(String(id));
              }
              return completed;
            },
          );
        } finally {
          queue.close();
        }
      }),
  };
}

const plainQueue: Candidate = {
  name: "plainjob",
  measure: ({ seconds }) =>
    inFolder(async (file) => {
      const queue = await PlainQueue.open(file);
      try {
        return await measured(
          seconds,
          () => queue.pending(),
          (ledger, claims) => {
            const added = queue.enqueue(nextPayload());
            const startedAt = nowNs();
            const id = queue.claim();
            claims.record(nowNs() - startedAt);
            queue.complete(id);
            ledger.enqueued(String(added));
            ledger.claimed(String(id));
            ledger.completed(String(id));
            return 1;
          },
        );
      } finally {
        queue.close();
      }
    }),
};

async function measured(
  seconds: number,
  pending: () => number,
  step: (ledger: DeliveryLedger, claims: LatencyHistogram) => number,
): Promise<Measurement> {
  collectGarbage();
  const ledger = new DeliveryLedger();
  const claim = new LatencyHistogram();
  const observer = ProcessObserver.start();
  let operations = 0;
  const took = await repeatFor(seconds, async () => {
    operations += step(ledger, claim);
  });
  const process = await observer.stop();
  const delivery = ledger.audit(pending());
  return { seconds: took, operations, errors: 0, latencies: { claim }, process, delivery };
}

async function inFolder<T>(work: (file: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-bench-"));
  try {
    return await work(join(folder, "queue.db"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

let made = 0;
function nextPayload(): string {
  made = (made + 1) % PAYLOADS.length;
  return PAYLOADS[made] as string;
}
