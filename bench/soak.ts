import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { Child } from "../src/lab/child.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { type RunOptions, runInterleaved, type Series, type Trial } from "../src/lab/run.ts";
import { spreadOf } from "../src/lab/statistics.ts";
import { judge } from "../src/lab/target.ts";
import type { QueueName } from "../src/task/ids.ts";
import { growthPercent, growthWithinLivesPercent } from "./growth.ts";
import { type JournalFiles, readJournalFiles } from "./journal-files.ts";
import type { SoakBatch, SoakDuties } from "./soak-process.ts";
import { SoakWork } from "./soak-work.ts";
import { TARGETS } from "./targets.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;
/** A year of 365 days in an hour. */
const SPEED = 365 * 24;
const MONTHS = 12;
const LIVES = 24;
const PER_SECOND = Number(process.env["DIBS_SOAK_RATE"] ?? 1_500);
const SEED = Number(process.env["DIBS_SOAK_SEED"] ?? 1);
const ROUND_MS = 20;
const DELAY_MS_MAX = 30 * DAY_MS;
const DRAIN_MS_MAX = 300_000;
const COMPLETED_MAX = 2_000;
const DEAD_MAX = 500;

/** Does a store that has run for a long time still run as on its first day, and has it every task? */
export const soak: Benchmark = {
  name: "soak",
  question:
    "After months by a clock that runs 8,760 times too fast, with schedules, retries, retention, snapshots, restarts and " +
    "kills: are heap, file handles, disk use and latency level, and is every task accounted for?",
  changesOurMind: "Anything that grows beyond doubt, or one task lost or doubled.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-soak-"));
  const story = new Story(folder, options);
  try {
    const measure = (trial: Trial) => story.interval(trial);
    const series = await runInterleaved([{ name: "store", measure }], options);
    const accounts = await story.accounts();
    return { ...story.findings, series: [...series, accounts], targets: judged(series[0] as Series) };
  } finally {
    await story.end();
    await rm(folder, { recursive: true, force: true });
  }
}

function judged({ repetitions }: Series) {
  const samples = repetitions.map(({ values = {}, latencies }, place) => ({
    place,
    life: values["life"] as number,
    ...values,
    claimP99Ns: latencies?.["claim"]?.percentileNs(99) ?? Number.NaN,
  }));
  const figures = [
    [TARGETS.soakHeap, growthPercent(samples, "heapBytes")],
    [TARGETS.soakHeapInLife, growthWithinLivesPercent(samples, "heapBytes")],
    [TARGETS.soakHandles, growthPercent(samples, "handles")],
    [TARGETS.soakHandlesInLife, growthWithinLivesPercent(samples, "handles")],
    [TARGETS.soakDisk, growthPercent(samples, "diskBytes")],
    [TARGETS.soakP99, growthPercent(samples, "claimP99Ns")],
  ] as const;
  // What is too short to tell is not judged, and so is not in the report.
  return figures.flatMap(([target, figure]) =>
    figure === undefined ? [] : [judge(target, spreadOf([figure]))],
  );
}

/** The store's many lives, and those who use it. */
class Story {
  readonly #folder: string;
  readonly #options: RunOptions;
  readonly #queues: readonly QueueName[];
  readonly #work: SoakWork;
  readonly #random = seeded(SEED);
  readonly #delayMsMax: number;
  readonly #startedAt = performance.now();
  readonly #simulatedStart = Date.now();
  #child: Child<SoakDuties> | undefined;
  #life = 0;
  #kills = 0;
  #openMs = 0;
  #snapshots = 0;
  #skippedMs = 0;
  #journal: JournalFiles = { bytes: 0, oldest: 1 };

  constructor(folder: string, options: RunOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#queues = Array.from({ length: MONTHS }, (_, n) => `month-${n + 1}` as QueueName);
    this.#delayMsMax = Math.min(DELAY_MS_MAX, (this.#seconds * 1_000 * SPEED) / 4);
    this.#work = new SoakWork(this.#queues, this.#delayMsMax, this.#random);
  }

  get findings() {
    return {
      parameters: {
        speed: SPEED,
        days: (this.#seconds * 1_000 * SPEED) / DAY_MS,
        perSecond: PER_SECOND,
        lives: this.#life,
        kills: this.#kills,
        snapshots: this.#snapshots,
        delayDaysMax: this.#delayMsMax / DAY_MS,
        seed: SEED,
      },
      notes: [
        "One repetition is an interval of the run. Heap is what a collection leaves; growth is that of a straight line " +
          "less twice its standard error, from the end of the first third to the end, by the mean; within lives, " +
          "each life by itself from its fourth interval on. A run with too few intervals for one of them leaves it out.",
        "A life ends by SIGKILL in the middle of a call, or by a close, in turn. What was under way is sent again to the next " +
          "one. Each month has a queue and an account; at the end the clock leaps over the last schedule and all is worked off.",
      ],
    };
  }

  get #seconds(): number {
    return this.#options.repeats * this.#options.seconds;
  }

  /** A day and some thousand tasks; less in a short run, so that the store is full early in it. */
  get #retention() {
    const share = Math.ceil((PER_SECOND * this.#seconds) / MONTHS / 10);
    const completedMs = Math.min(DAY_MS, Math.ceil((this.#seconds * 1_000 * SPEED) / 8));
    return {
      completedMs,
      completedMax: Math.min(COMPLETED_MAX, share),
      deadMs: 7 * completedMs,
      deadMax: Math.min(DEAD_MAX, share),
    };
  }

  /** Works for the length of an interval, and measures what the store takes at the end of it. */
  async interval({ repetition, seconds }: Trial) {
    const livesFor = Math.max(2, Math.floor(this.#options.repeats / LIVES));
    if (repetition > 1 && (repetition - 1) % livesFor === 0) await this.#endLife();
    const startedAt = performance.now();
    const snapshotsBefore = this.#snapshots;
    let tasks = 0;
    for (let round = 1; performance.now() - startedAt < seconds * 1_000; round += 1) {
      const due = Math.floor((round * ROUND_MS * PER_SECOND) / 1_000) - tasks;
      await this.#send(this.#work.next(this.#month(), due));
      tasks += due;
      await wait(Math.max(0, startedAt + round * ROUND_MS - performance.now()));
    }
    const { claims, ...taken } = await (await this.#alive()).call("sample");
    await this.#lookAtDisk();
    return {
      seconds: (performance.now() - startedAt) / 1_000,
      operations: tasks,
      errors: 0,
      latencies: { claim: LatencyHistogram.decode(claims) },
      values: {
        ...taken,
        diskBytes: this.#journal.bytes,
        snapshots: this.#snapshots - snapshotsBefore,
        life: this.#life,
        openMs: this.#openMs,
      },
    };
  }

  /** Works off what is left, and compares each month's account with the store's. */
  async accounts(): Promise<Series> {
    await this.#close();
    this.#skippedMs = this.#delayMsMax + DAY_MS;
    const end = performance.now() + DRAIN_MS_MAX;
    let counted = await (await this.#alive()).call("counts", this.#queues);
    while (counted.some(({ counts }) => pendingOf(counts) > 0) && performance.now() < end) {
      for (let n = 0; n < 20; n += 1) await this.#send(this.#work.next(this.#month(), 0));
      await wait(ROUND_MS);
      counted = await (await this.#alive()).call("counts", this.#queues);
    }
    // Once more after a restart: from the disk, and not from memory.
    await this.#close();
    counted = await (await this.#alive()).call("counts", this.#queues);
    await this.#close();
    const repetitions = this.#queues.flatMap((queue, place) => {
      const { enqueued, pruned, counts } = counted[place] as (typeof counted)[number];
      const delivery = this.#work.ledgers.get(queue)?.audit(pendingOf(counts));
      if (delivery === undefined || enqueued === 0) return [];
      const sum = Object.values(counts).reduce((all, count) => all + count, pruned);
      if (enqueued !== delivery.enqueued || enqueued !== sum) {
        throw new Error(
          `${queue} counts ${enqueued} tasks and has or had ${sum}; ${delivery.enqueued} were sent`,
        );
      }
      return [{ startedAt: Date.now(), seconds: this.#seconds, operations: enqueued, errors: 0, delivery }];
    });
    return { name: "accounts by month", repetitions };
  }

  async end(): Promise<void> {
    await this.#child?.kill();
  }

  /** Sends a piece of work until a life of the store has answered it. */
  async #send(batch: SoakBatch): Promise<void> {
    this.#work.note(batch, await (await this.#alive()).call("work", batch));
  }

  async #endLife(): Promise<void> {
    await this.#lookAtDisk();
    if (this.#life % 2 === 0) return this.#close();
    const child = await this.#alive();
    const batch = this.#work.next(this.#month(), PER_SECOND);
    const answered = child.call("work", batch).then(
      (answer) => answer,
      () => undefined,
    );
    await wait(this.#random() * ROUND_MS);
    await child.kill();
    this.#child = undefined;
    this.#kills += 1;
    const answer = await answered;
    if (answer === undefined) await this.#send(batch);
    else this.#work.note(batch, answer);
  }

  async #close(): Promise<void> {
    await this.#child?.call("close");
    await this.#child?.end();
    this.#child = undefined;
  }

  async #alive(): Promise<Child<SoakDuties>> {
    if (this.#child !== undefined) return this.#child;
    this.#child = Child.start<SoakDuties>(new URL("./soak-process.js", import.meta.url));
    this.#life += 1;
    const { openMs } = await this.#child.call("open", {
      folder: this.#folder,
      now: this.#now(),
      speed: SPEED,
      queues: this.#queues,
      config: { retention: this.#retention },
    });
    this.#openMs = openMs;
    return this.#child;
  }

  async #lookAtDisk(): Promise<void> {
    const now = await readJournalFiles(this.#folder);
    this.#snapshots += now.oldest - this.#journal.oldest;
    this.#journal = now;
  }

  /** By the fast clock. */
  #now(): number {
    return Math.ceil(this.#simulatedStart + this.#skippedMs + (performance.now() - this.#startedAt) * SPEED);
  }

  #month(): QueueName {
    const elapsed = (performance.now() - this.#startedAt) / (this.#seconds * 1_000);
    return this.#queues[Math.min(MONTHS - 1, Math.floor(elapsed * MONTHS))] as QueueName;
  }
}

function pendingOf(counts: { readonly scheduled: number; readonly ready: number; readonly leased: number }) {
  return counts.scheduled + counts.ready + counts.leased;
}

/** Numbers in [0, 1) that come again with the seed. Source: the generator mulberry32 of Tommy Ettinger. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
