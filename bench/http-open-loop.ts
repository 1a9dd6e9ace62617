import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { expectStatus, type TaskOnTheWire, taskIn } from "../src/lab/load/wire.ts";
import { type PacingResult, paceRequests } from "../src/lab/pacing.ts";
import { PAYLOAD_BYTES, payloadPool } from "../src/lab/payload.ts";
import type { ProcessReading } from "../src/lab/process-observer.ts";
import { type RawAnswer, type RawHttpConnection, rawPost } from "../src/lab/raw-http.ts";
import {
  type Candidate,
  latencyNs,
  type Measure,
  medianOfSeries,
  type RunOptions,
  runInterleaved,
  type Series,
  seriesNamed,
  spreadOfSeries,
} from "../src/lab/run.ts";
import { medianOf } from "../src/lab/statistics.ts";
import { judge } from "../src/lab/target.ts";
import { collectGarbage } from "./engine.ts";
import { closedLoop, EMBEDDED, HttpLoad, type HttpStore, type LoadedQueue } from "./http-load.ts";
import { TARGETS } from "./targets.ts";

const CONNECTIONS = 50;
const SATURATION_REPEATS = 3;
const SATURATION_SECONDS = 1;
/** The fill before a trial leaves the server's compiled code cold; this long it is asked without being measured. */
const SETTLE_SECONDS = 0.5;
/** Later than this at P99, the generator is part of what it measures. */
const LATENESS_MS_MAX = 1;
const PAYLOADS = payloadPool();

/** Which latency do callers see at half of what the server can do? */
export const httpOpenLoop = httpOpenLoopOn("http-open-loop", EMBEDDED);

export function httpOpenLoopOn(name: string, store: HttpStore): Benchmark {
  return {
    name,
    question:
      "Which latency do callers see when requests come at half of the rate that saturates the server, whatever the " +
      `answers do? Claims alone, and a mix of enqueue, claim and complete; ${store.title}, ${PAYLOAD_BYTES}-byte payloads.`,
    changesOurMind:
      "A P99 above 20 ms, or a single error: then something in the server stalls that an average does not show.",
    run: (options) => run(options, store),
  };
}

/** What the load consists of: the next request, and what its answer means. */
interface Traffic {
  next(): { readonly request: Buffer; onAnswer(answer: RawAnswer): void };
}

async function run(options: RunOptions, store: HttpStore): Promise<Findings> {
  const load = await HttpLoad.start(store);
  try {
    const claims = (queue: LoadedQueue) => onlyClaims(queue);
    const mixed = (queue: LoadedQueue) => new MixedTraffic(load.url, queue);
    const rates = {
      claims: (await saturation(load, store, claims)) / 2,
      mixed: (await saturation(load, store, mixed)) / 2,
    };
    const candidates = [
      openLoop("claims", load, store, claims, rates.claims),
      openLoop("mixed", load, store, mixed, rates.mixed),
    ];
    return findings(await runInterleaved(candidates, options), store, rates);
  } finally {
    await load.close();
  }
}

function findings(
  series: Awaited<ReturnType<typeof runInterleaved>>,
  store: HttpStore,
  rates: { claims: number; mixed: number },
): Findings {
  const ms = (percentile: number): Measure => {
    const ns = latencyNs("latency", percentile);
    return (repetition) => ns(repetition) / 1e6;
  };
  const targets = ["claims", "mixed"].flatMap((name) => {
    const one = seriesNamed(series, name);
    const named = (target: (typeof TARGETS)[keyof typeof TARGETS]) => ({
      ...target,
      what: `${target.what}, ${store.name} (${name})`,
    });
    return [
      judge(named(TARGETS.openLoopP50), spreadOfSeries(one, ms(50))),
      judge(named(TARGETS.openLoopP99), spreadOfSeries(one, ms(99))),
      judge(named(TARGETS.openLoopP999), spreadOfSeries(one, ms(99.9))),
      judge(
        named(TARGETS.openLoopErrors),
        spreadOfSeries(one, ({ errors }) => errors),
      ),
      judge(
        named(TARGETS.gcPause),
        spreadOfSeries(
          one,
          ofProcess((reading) => reading.gcPauseMaxMs),
        ),
      ),
      judge(
        named(TARGETS.loopDelay),
        spreadOfSeries(
          one,
          ofProcess((reading) => reading.eventLoopDelayP99Ms),
        ),
      ),
    ];
  });
  return {
    parameters: {
      connections: CONNECTIONS,
      claimsPerSecond: Math.round(rates.claims),
      mixedPerSecond: Math.round(rates.mixed),
      payloadBytes: PAYLOAD_BYTES,
      store: store.title,
    },
    series,
    targets,
    notes: [
      ...series.flatMap(latenessNote),
      "latency counts from the intended time of leaving, service from the actual one; lateness is how late the generator " +
        `itself was. Saturation: the median of ${SATURATION_REPEATS} closed loops over ${CONNECTIONS} connections.`,
    ],
  };
}

/** A generator that leaves late measures itself: then the figures are an upper bound, and the reader must know. */
function latenessNote(series: Series): string[] {
  const lateMs = medianOfSeries(series, latencyNs("lateness", 99)) / 1e6;
  if (lateMs <= LATENESS_MS_MAX) return [];
  return [
    `**The generator of "${series.name}" left ${lateMs.toFixed(1)} ms late at P99**: this machine was too busy for it. Its ` +
      "latencies are an upper bound; `service` is the nearer figure.",
  ];
}

function ofProcess(pick: (reading: ProcessReading) => number): Measure {
  return ({ process }) => (process === undefined ? Number.NaN : pick(process));
}

/** Requests a second that the server answers when every connection asks again at once. */
async function saturation(
  load: HttpLoad,
  store: HttpStore,
  traffic: (queue: LoadedQueue) => Traffic,
): Promise<number> {
  const rates: number[] = [];
  // The first one warms up.
  for (let n = 0; n <= SATURATION_REPEATS; n += 1) {
    const queue = await load.freshQueue(store.depth + store.claimsPerSecondMax * SATURATION_SECONDS);
    const source = traffic(queue);
    const connections = await load.connections(CONNECTIONS);
    const { operations, seconds } = await driveClosed(connections, source, SATURATION_SECONDS);
    rates.push(operations / seconds);
  }
  return medianOf(rates.slice(1));
}

/** A closed loop over traffic whose requests differ: each connection remembers what it asked. */
async function driveClosed(connections: readonly RawHttpConnection[], source: Traffic, seconds: number) {
  const loops = connections.map((connection) => {
    let onAnswer: (answer: RawAnswer) => void = () => {};
    return closedLoop({
      connections: [connection],
      seconds,
      request: () => {
        const next = source.next();
        onAnswer = next.onAnswer;
        return next.request;
      },
      onAnswer: (answer) => onAnswer(answer),
    });
  });
  const done = await Promise.all(loops);
  return {
    operations: done.reduce((sum, { operations }) => sum + operations, 0),
    seconds: Math.max(...done.map((loop) => loop.seconds)),
  };
}

function openLoop(
  name: string,
  load: HttpLoad,
  store: HttpStore,
  traffic: (queue: LoadedQueue) => Traffic,
  rate: number,
): Candidate {
  return {
    name,
    async measure({ seconds }) {
      const queue = await load.freshQueue(
        store.depth + Math.ceil(rate * seconds + store.claimsPerSecondMax * SETTLE_SECONDS),
      );
      const source = traffic(queue);
      const free = [...(await load.connections(CONNECTIONS))];
      await driveClosed(free, source, SETTLE_SECONDS);
      // The generator's own pauses would count as the server's latency.
      collectGarbage();
      await load.server.call("observe", undefined);
      const paced = await paceRequests({
        perSecond: rate,
        seconds,
        outstandingMax: free.length,
        async send() {
          const connection = free.pop() as RawHttpConnection;
          try {
            const { request, onAnswer } = source.next();
            onAnswer(await connection.ask(request));
          } finally {
            free.push(connection);
          }
        },
      });
      const process = await load.server.call("observed", undefined);
      return { ...measurementOf(paced), process, delivery: await queue.audit() };
    },
  };
}

function measurementOf({ seconds, succeeded, failed, failures, ...paced }: PacingResult) {
  if (failed > 0) process.stderr.write(`${failed} requests failed: ${failures.join("; ")}\n`);
  const { latency, service, lateness, heldBack } = paced;
  return {
    seconds,
    operations: succeeded,
    errors: failed,
    latencies: { latency, service, lateness },
    values: { heldBack },
  };
}

function onlyClaims(queue: LoadedQueue): Traffic {
  const request = queue.claimRequest();
  const onAnswer = (answer: RawAnswer) => queue.ledger.claimed(taskIn(answer).id);
  return { next: () => ({ request, onAnswer }) };
}

/** A third each of enqueues, claims and completions, so that the depth stays. */
class MixedTraffic implements Traffic {
  readonly #url: string;
  readonly #queue: LoadedQueue;
  readonly #claim: Buffer;
  readonly #held: TaskOnTheWire[] = [];
  #n = 0;

  constructor(url: string, queue: LoadedQueue) {
    this.#url = url;
    this.#queue = queue;
    this.#claim = queue.claimRequest();
  }

  next() {
    this.#n += 1;
    if (this.#n % 3 === 0) return this.#claimNext();
    const held = this.#n % 3 === 1 ? this.#held.pop() : undefined;
    return held === undefined ? this.#enqueueNext() : this.#completeNext(held);
  }

  #claimNext() {
    const onAnswer = (answer: RawAnswer) => {
      const task = taskIn(answer);
      this.#queue.ledger.claimed(task.id);
      this.#held.push(task);
    };
    return { request: this.#claim, onAnswer };
  }

  #enqueueNext() {
    const payload = PAYLOADS[this.#n % PAYLOADS.length] as string;
    const request = rawPost(this.#url, "/v1/tasks", `{"queue":"${this.#queue.name}","payload":${payload}}`);
    const onAnswer = (answer: RawAnswer) => {
      expectStatus(answer, 201);
      this.#queue.ledger.enqueued((JSON.parse(answer.body) as { id: string }).id);
    };
    return { request, onAnswer };
  }

  #completeNext({ id, token }: TaskOnTheWire) {
    const request = rawPost(
      this.#url,
      `/v1/tasks/${id}/complete`,
      `{"leaseToken":"${token}","result":{"ok":true}}`,
    );
    const onAnswer = (answer: RawAnswer) => {
      expectStatus(answer, 200);
      this.#queue.ledger.completed(id);
    };
    return { request, onAnswer };
  }
}
