import { setTimeout as wait } from "node:timers/promises";
import { serveDuties } from "../src/lab/child.ts";
import { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";
import { paceRequests } from "../src/lab/pacing.ts";
import { payloadOf, payloadPool } from "../src/lab/payload.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import { parseQueueName, type QueueName } from "../src/task/ids.ts";
import { collectGarbage, fill, openScratchBroker, pendingIn, QUEUE } from "./engine.ts";
import { readJournalFiles } from "./journal-files.ts";

/**
 * The process under test of embedded-snapshots: a store in which many tasks wait for ever, and above them, at a
 * higher priority, the traffic that is measured. So the oldest segments stay live to the last byte, and a
 * snapshot has to write all of them again: its hardest case.
 */
const PAYLOADS = payloadPool();
const URGENT = 5;
/** Tasks of the traffic that are there at a time; more than are under way, so that no claim meets those that wait. */
const STOCK = 1_000;
const OUTSTANDING_MAX = 500;
const BULK = parseQueueName("bulk") as QueueName;
const BULK_PAYLOAD = payloadOf(0, 256 * 1024);
const BULK_CALL = 16;
const SAMPLE_MS = 50;
/** Without a snapshot for so long, none is under way any more. */
const QUIET_MS = 2_000;

type Scratch = Awaited<ReturnType<typeof openScratchBroker>>;
let scratch: Scratch | undefined;
let depth = 0;
let bytesATask = 0;
let segmentBytes = 0;

function opened(): Scratch {
  if (scratch === undefined) throw new Error("Nothing is filled yet");
  return scratch;
}

const duties = {
  /** Opens an engine in a fresh folder and enqueues so many tasks, of which none is ever claimed. */
  async fill(wish: { depth: number; segmentBytes: number }) {
    ({ depth, segmentBytes } = wish);
    scratch = await openScratchBroker("process", { segmentBytes });
    const before = await readJournalFiles(scratch.folder);
    await fill(scratch.storage, QUEUE, depth);
    const after = await readJournalFiles(scratch.folder);
    // Nothing is dead yet: what the files hold is what the tasks need.
    bytesATask = (after.bytes - before.bytes) / depth;
    return { bytesATask };
  },

  /**
   * Cycles a second of one caller that calls again as soon as it is answered. Many would travel together and so do
   * more, which at half of the load they do not: then half of their saturation is all that single calls can do.
   */
  async saturate(seconds: number) {
    const traffic = await Traffic.start(opened());
    const startedAt = nowNs();
    const end = startedAt + seconds * 1e9;
    let cycles = 0;
    for (let now = startedAt; now < end; now = nowNs()) {
      await traffic.cycle(now);
      cycles += 1;
    }
    const perSecond = cycles / ((nowNs() - startedAt) / 1e9);
    await traffic.end();
    return perSecond;
  },

  /** Fills the journal with what is dead at once, until a snapshot has removed a segment: the others follow. */
  async prime() {
    const { broker, folder } = opened();
    const { oldest } = await readJournalFiles(folder);
    const request = { queue: BULK, payload: BULK_PAYLOAD };
    while ((await readJournalFiles(folder)).oldest === oldest) {
      await broker.enqueueMany(Array.from({ length: BULK_CALL }, () => request));
      await broker.purge(BULK, "ready");
    }
  },

  /** The traffic at a constant rate; what it met, and how much disk the store took meanwhile. */
  async load({ seconds, perSecond }: { seconds: number; perSecond: number }) {
    const { folder } = opened();
    const traffic = await Traffic.start(opened());
    collectGarbage();
    const before = await readJournalFiles(folder);
    const disk = DiskWatch.start(opened());
    const observer = ProcessObserver.start();
    const paced = await paceRequests({
      perSecond,
      seconds,
      outstandingMax: OUTSTANDING_MAX,
      send: (_, intendedAt) => traffic.cycle(intendedAt),
    });
    const reading = await observer.stop();
    const use = await disk.stop();
    const snapshots = (await readJournalFiles(folder)).oldest - before.oldest;
    const delivery = await traffic.end();
    return {
      seconds: paced.seconds,
      operations: paced.succeeded,
      errors: paced.failed,
      failures: paced.failures,
      claims: traffic.claims.encode(),
      delivery,
      process: reading,
      snapshots,
      ...use,
    };
  },

  /** Resolves when no snapshot is under way, so that the other process can be measured. */
  async rest() {
    const { folder } = opened();
    for (let before = 0, now = (await readJournalFiles(folder)).oldest; now !== before; ) {
      await wait(QUIET_MS);
      before = now;
      now = (await readJournalFiles(folder)).oldest;
    }
  },

  async close() {
    await opened().close();
  },
};

export type SnapshotsDuties = typeof duties;

/** Claims the urgent tasks, completes each and adds another. What is completed goes at once: live data stay as they are. */
class Traffic {
  readonly claims = new LatencyHistogram();
  readonly #ledger = new DeliveryLedger();
  readonly #scratch: Scratch;
  readonly #purge: NodeJS.Timeout;
  #purging = Promise.resolve(0);
  #n = 0;

  private constructor(scratch: Scratch) {
    this.#scratch = scratch;
    this.#purge = setInterval(() => {
      this.#purging = this.#purging.then(() => scratch.broker.purge(QUEUE, "completed"));
    }, SAMPLE_MS);
  }

  static async start(scratch: Scratch): Promise<Traffic> {
    const traffic = new Traffic(scratch);
    for (let n = 0; n < STOCK; n += 1) await traffic.#add();
    return traffic;
  }

  async cycle(intendedAt: number): Promise<void> {
    const { broker } = this.#scratch;
    const [task] = await broker.claim({ queues: [QUEUE], max: 1, waitMs: 0 });
    this.claims.record(nowNs() - intendedAt);
    if (task === undefined) throw new Error("A claim found nothing in a full queue");
    this.#ledger.claimed(task.id);
    await broker.settleOne({ outcome: "complete", id: task.id, token: task.lease.token });
    this.#ledger.completed(task.id);
    await this.#add();
  }

  /** Audits, and clears away the stock. */
  async end() {
    const { broker, storage } = this.#scratch;
    clearInterval(this.#purge);
    await this.#purging;
    const audit = this.#ledger.audit((await pendingIn(storage, QUEUE)) - depth);
    const rest = await broker.claim({ queues: [QUEUE], max: STOCK, waitMs: 0 });
    await broker.settle(rest.map(({ id, lease: { token } }) => ({ outcome: "complete", id, token })));
    await broker.purge(QUEUE, "completed");
    return audit;
  }

  async #add(): Promise<void> {
    this.#n += 1;
    const payload = PAYLOADS[this.#n % PAYLOADS.length] as string;
    const { task } = await this.#scratch.broker.enqueue({ queue: QUEUE, payload, priority: URGENT });
    this.#ledger.enqueued(task.id);
  }
}

/** The size of the journal's files against the tasks that are there, many times a second. */
class DiskWatch {
  readonly #scratch: Scratch;
  readonly #timer: NodeJS.Timeout;
  #sampling = Promise.resolve();
  #bytesMax = 0;
  /** Size / (twice the live data and a segment), at most. */
  #shareMax = 0;

  private constructor(scratch: Scratch) {
    this.#scratch = scratch;
    this.#timer = setInterval(() => {
      this.#sampling = this.#sampling.then(() => this.#sample());
    }, SAMPLE_MS);
  }

  static start(scratch: Scratch): DiskWatch {
    return new DiskWatch(scratch);
  }

  async stop() {
    clearInterval(this.#timer);
    await this.#sampling;
    return { diskBytesMax: this.#bytesMax, diskShareMax: this.#shareMax };
  }

  async #sample(): Promise<void> {
    const { bytes } = await readJournalFiles(this.#scratch.folder);
    const snapshot = await this.#scratch.storage.snapshot(QUEUE);
    if (snapshot === undefined) return;
    const tasks = Object.values(snapshot.counts).reduce((sum, count) => sum + count, 0);
    this.#bytesMax = Math.max(this.#bytesMax, bytes);
    this.#shareMax = Math.max(this.#shareMax, bytes / (2 * tasks * bytesATask + segmentBytes));
  }
}

serveDuties(duties);
