import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import autocannon from "autocannon";
import type { Benchmark, Findings } from "../src/lab/benchmark.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { expectStatus } from "../src/lab/load/wire.ts";
import { type Candidate, perSecond, ratioOf, runInterleaved, seriesNamed, value } from "../src/lab/run.ts";
import { closedLoop, EMBEDDED, HttpLoad } from "./http-load.ts";

const CONNECTIONS = 20;
const BODY = { max: 1, leaseMs: 3_600_000 };

/** Do other tools see what our generator sees? */
export const loadCrossCheck: Benchmark = {
  name: "load-cross-check",
  question:
    `Do autocannon and wrk see the rate and the latencies that the generator of \`dibs load\` sees, when each asks the same server for claims over ${CONNECTIONS} ` +
    "connections, as fast as it is answered? Claims of an empty queue, so that all three ask for the same for as long as they like; embedded engine.",
  changesOurMind:
    "A median that is off by more than a tenth, or more requests a second from another tool by more than a quarter: then our generator measures itself.",
  run,
};

async function run(options: Parameters<Benchmark["run"]>[0]): Promise<Findings> {
  const load = await HttpLoad.start(EMBEDDED);
  try {
    const { name: queue } = await load.freshQueue(0);
    const body = JSON.stringify({ queues: [queue], ...BODY });
    const hasWrk = await isThere("wrk");
    const candidates = [ours(load, queue), cannon(load.url, body), ...(hasWrk ? [wrk(load.url, body)] : [])];
    const series = await runInterleaved(candidates, options);
    const own = seriesNamed(series, "dibs");
    return {
      parameters: { connections: CONNECTIONS },
      series,
      comparisons: series
        .filter((each) => each !== own)
        .flatMap((each) => [
          { measure: "requests/s", candidate: "dibs", baseline: each.name, ...ratioOf(own, each, perSecond) },
          { measure: "P50", candidate: "dibs", baseline: each.name, ...ratioOf(own, each, value("p50Ms")) },
          { measure: "P99", candidate: "dibs", baseline: each.name, ...ratioOf(own, each, value("p99Ms")) },
        ]),
      notes: [
        "autocannon tells latencies in whole milliseconds from its own histogram when they are above one, so its own timing of each request is taken here; wrk runs one thread.",
        ...(hasWrk ? [] : ["wrk was not on the PATH and so was left out."]),
      ],
    };
  } finally {
    await load.close();
  }
}

/** The loop and the connections of `dibs load -u`. */
function ours(load: HttpLoad, queue: string): Candidate {
  return {
    name: "dibs",
    async measure({ seconds }) {
      const request = load.claimRequestOf(queue);
      const { latency, ...done } = await closedLoop({
        connections: await load.connections(CONNECTIONS),
        seconds,
        request: () => request,
        onAnswer: (answer) => expectStatus(answer, 204),
      });
      return { ...done, errors: 0, latencies: { answer: latency }, values: percentiles(latency) };
    },
  };
}

function cannon(url: string, body: string): Candidate {
  return {
    name: "autocannon",
    async measure({ seconds }) {
      const latency = new LatencyHistogram();
      const startedAt = performance.now();
      const result = await new Promise<autocannon.Result>((resolve, reject) => {
        const instance = autocannon(
          {
            url: `${url}/v1/claims`,
            method: "POST",
            headers: { "content-type": "application/json" },
            body,
            connections: CONNECTIONS,
            duration: Math.max(1, Math.ceil(seconds)),
          },
          (error, all) => (error ? reject(error) : resolve(all)),
        );
        instance.on("response", (_client, _status, _bytes, ms) => latency.record(ms * 1e6));
      });
      return {
        seconds: (performance.now() - startedAt) / 1_000,
        operations: latency.count,
        errors: result.errors + result.timeouts,
        latencies: { answer: latency },
        values: percentiles(latency),
      };
    },
  };
}

function percentiles(latency: LatencyHistogram) {
  return { p50Ms: latency.percentileNs(50) / 1e6, p99Ms: latency.percentileNs(99) / 1e6 };
}

/** Its script says the figures in microseconds: what it prints is rounded. */
const SAYING = `done = function(summary, latency)
  io.write(string.format("\\nJSON {\\"requests\\":%d,\\"us\\":%d,\\"p50\\":%d,\\"p99\\":%d,\\"errors\\":%d}\\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
`;

function wrk(url: string, body: string): Candidate {
  return {
    name: "wrk",
    async measure({ seconds }) {
      const folder = await mkdtemp(join(tmpdir(), "dibs-wrk-"));
      try {
        const script = join(folder, "claims.lua");
        const asking = `wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[${body}]]\n`;
        await writeFile(script, asking + SAYING);
        const args = ["-t1", `-c${CONNECTIONS}`, `-d${Math.max(1, Math.ceil(seconds))}s`, "-s", script];
        const { stdout } = await promisify(execFile)("wrk", [...args, `${url}/v1/claims`]);
        const said = JSON.parse(/^JSON (.*)$/m.exec(stdout)?.[1] ?? "null") as WrkResult | null;
        if (said === null) throw new Error(`Expected figures of wrk, got: ${stdout}`);
        return {
          seconds: said.us / 1e6,
          operations: said.requests,
          errors: said.errors,
          values: { p50Ms: said.p50 / 1_000, p99Ms: said.p99 / 1_000 },
        };
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  };
}

interface WrkResult {
  readonly requests: number;
  readonly us: number;
  readonly p50: number;
  readonly p99: number;
  readonly errors: number;
}

async function isThere(program: string): Promise<boolean> {
  const looked = promisify(execFile)("which", [program]);
  return looked.then(
    () => true,
    () => false,
  );
}
