import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { expectStatus, taskIn } from "../src/lab/load/wire.ts";
import { PAYLOAD_BYTES } from "../src/lab/payload.ts";
import {
  type Candidate,
  latencyNs,
  type Measurement,
  perSecond,
  ratioOf,
  runInterleaved,
  seriesNamed,
} from "../src/lab/run.ts";
import { judge, type Target } from "../src/lab/target.ts";
import { type ClosedLoop, closedLoop, EMBEDDED, HttpLoad, type HttpStore } from "./http-load.ts";
import { TARGETS } from "./targets.ts";

const CONNECTIONS = 50;
/** The fill before a trial leaves the server's compiled code cold; this long it is asked without being measured. */
const SETTLE_SECONDS = 0.5;

/** How much does a claim over HTTP cost beyond HTTP itself? */
export const httpClaim = httpClaimOn("http-claim", EMBEDDED, {
  p50: TARGETS.httpClaimP50,
  perSecond: TARGETS.httpClaims,
});

export function httpClaimOn(
  name: string,
  store: HttpStore,
  targets: { readonly p50: Target; readonly perSecond?: Target },
): Benchmark {
  const { p50, perSecond: rate } = targets;
  return {
    name,
    question:
      "How much does a claim over HTTP cost beyond HTTP itself? `POST /v1/claims` against a POST route that does nothing " +
      `on the same server, over one keep-alive connection and over ${CONNECTIONS}; ${store.title}, ` +
      `${PAYLOAD_BYTES}-byte payloads.`,
    changesOurMind:
      `A claim above ${p50.must} times the no-op at one connection` +
      (rate === undefined ? "" : `, or fewer than ${rate.must} of its requests a second at fifty`) +
      ": then validation, answers or wake-ups cost more than the engine.",
    async run(options) {
      const load = await HttpLoad.start(store);
      try {
        const claims = (connections: number) => claim(load, store, connections);
        const trials = [noop(load, 1), claims(1), noop(load, CONNECTIONS), claims(CONNECTIONS)];
        return findings(await runInterleaved(trials, options), store, targets);
      } finally {
        await load.close();
      }
    },
  };
}

function findings(
  series: Awaited<ReturnType<typeof runInterleaved>>,
  store: HttpStore,
  targets: Parameters<typeof httpClaimOn>[2],
): Findings {
  const named = (name: string) => seriesNamed(series, name);
  const one = ratioOf(named("claim × 1"), named("no-op × 1"), latencyNs("answer", 50));
  const many = ratioOf(named(`claim × ${CONNECTIONS}`), named(`no-op × ${CONNECTIONS}`), perSecond);
  return {
    parameters: {
      depth: store.depth,
      connections: CONNECTIONS,
      payloadBytes: PAYLOAD_BYTES,
      store: store.title,
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
    targets: [
      judge(targets.p50, one),
      ...(targets.perSecond === undefined ? [] : [judge(targets.perSecond, many)]),
    ],
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

function claim(load: HttpLoad, store: HttpStore, connections: number): Candidate {
  return {
    name: `claim × ${connections}`,
    async measure({ seconds }) {
      const queue = await load.freshQueue(
        store.depth + Math.ceil(store.claimsPerSecondMax * (seconds + SETTLE_SECONDS)),
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
