import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
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
import { judge } from "../src/lab/target.ts";
import { type ClosedLoop, closedLoop, expectStatus, HttpLoad, taskIn } from "./http-load.ts";
import { TARGETS } from "./targets.ts";

const DEPTH = 100_000;
/** More than the server answers in a second, so that a claim always finds a task. */
const CLAIMS_PER_SECOND_MAX = 40_000;
const CONNECTIONS = 50;
/** The fill before a trial leaves the server's compiled code cold; this long it is asked without being measured. */
const SETTLE_SECONDS = 0.5;

/** How much does a claim over HTTP cost beyond HTTP itself? */
export const httpClaim: Benchmark = {
  name: "http-claim",
  question:
    "How much does a claim over HTTP cost beyond HTTP itself? `POST /v1/claims` against a POST route that does nothing " +
    `on the same server, over one keep-alive connection and over ${CONNECTIONS}; embedded engine, \`process\`, ` +
    `${PAYLOAD_BYTES}-byte payloads.`,
  changesOurMind:
    "A claim above 1.6 times the no-op at one connection, or fewer than 0.8 of its requests a second at fifty: then " +
    "validation, answers or wake-ups cost more than the engine.",
  run,
};

async function run(options: RunOptions): Promise<Findings> {
  const load = await HttpLoad.start();
  try {
    const trials = [noop(load, 1), claim(load, 1), noop(load, CONNECTIONS), claim(load, CONNECTIONS)];
    return findings(await runInterleaved(trials, options));
  } finally {
    await load.close();
  }
}

function findings(series: Awaited<ReturnType<typeof runInterleaved>>): Findings {
  const named = (name: string) => seriesNamed(series, name);
  const one = ratioOf(named("claim × 1"), named("no-op × 1"), latencyNs("answer", 50));
  const many = ratioOf(named(`claim × ${CONNECTIONS}`), named(`no-op × ${CONNECTIONS}`), perSecond);
  return {
    parameters: {
      depth: DEPTH,
      connections: CONNECTIONS,
      payloadBytes: PAYLOAD_BYTES,
      durability: "process",
    },
    series,
    comparisons: [
      { measure: "P50", candidate: "claim × 1", baseline: "no-op × 1", ...one },
      {
        measure: "answers/s",
        candidate: `claim × ${CONNECTIONS}`,
        baseline: `no-op × ${CONNECTIONS}`,
        ...many,
      },
    ],
    targets: [judge(TARGETS.httpClaimP50, one), judge(TARGETS.httpClaims, many)],
    notes: [
      "The server has a process of its own; the client is this one, with raw sockets. Both routes get the same body and " +
        "pass the same hooks. Every trial is preceded by half a second that is not measured, and claims from a fresh queue, with leases that outlive it.",
    ],
  };
}

function noop(load: HttpLoad, connections: number): Candidate {
  return {
    name: `no-op × ${connections}`,
    async measure({ seconds }) {
      const queue = await load.freshQueue(1);
      const request = queue.noopRequest();
      return timed(load, connections, seconds, {
        request: () => request,
        onAnswer: (answer) => expectStatus(answer, 200),
      });
    },
  };
}

function claim(load: HttpLoad, connections: number): Candidate {
  return {
    name: `claim × ${connections}`,
    async measure({ seconds }) {
      const queue = await load.freshQueue(
        DEPTH + Math.ceil(CLAIMS_PER_SECOND_MAX * (seconds + SETTLE_SECONDS)),
      );
      const request = queue.claimRequest();
      const measurement = await timed(load, connections, seconds, {
        request: () => request,
        onAnswer: (answer) => queue.ledger.claimed(taskIn(answer).id),
      });
      return { ...measurement, delivery: await queue.audit() };
    },
  };
}

async function timed(
  load: HttpLoad,
  count: number,
  seconds: number,
  traffic: Pick<ClosedLoop, "request" | "onAnswer">,
): Promise<Measurement> {
  const connections = await load.connections(count);
  await closedLoop({ ...traffic, connections, seconds: SETTLE_SECONDS });
  await load.server.call("observe", undefined);
  const { latency, ...done } = await closedLoop({ ...traffic, connections, seconds });
  const process = await load.server.call("observed", undefined);
  return { ...done, errors: 0, latencies: { answer: latency }, process };
}
