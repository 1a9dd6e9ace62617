import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTE_NAMES, ROUTES } from "../src/protocol/routes.ts";
import { STATUS } from "../src/protocol/status.ts";
import { LIMITS } from "../src/task/limits.ts";
import { bodiesFor, pathsFor } from "./http/hostile.ts";
import { type Json, RawConnection } from "./http/serving.ts";
import { FILLINGS, pathOf } from "./http/witness.ts";

/**
 * Everything that a client can get wrong, or do on purpose, at every route: never a 500, never a crash, and
 * the memory back where it was. The seed of a failure is in its message; DIBS_TEST_HOSTILE_RUNS asks for more.
 */
const { DIBS_TEST_HOSTILE_RUNS } = process.env;
const RUNS = Number(DIBS_TEST_HOSTILE_RUNS ?? 150);
/** Slow clients are cut off after so long. */
const REQUEST_TIMEOUT_MS = 5_000;
/** What may remain above the first measurement: lazily compiled code, pools, the engine's last blocks. */
const REMAINS_BYTES_MAX = 12 * 1024 * 1024;

let child: ChildProcess;
let url: URL;
const errors: string[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: 16 });

beforeAll(async () => {
  const script = new URL("./http/hostile-server.mjs", import.meta.url);
  child = fork(script, [String(REQUEST_TIMEOUT_MS)], { execArgv: ["--expose-gc"] });
  child.on("message", (message: { kind: string; message?: string }) => {
    if (message.kind === "error") errors.push(message.message ?? "");
  });
  const [ready] = await once(child, "message");
  url = new URL(ready.url);
});

afterAll(async () => {
  agent.destroy();
  if (child.exitCode === null) {
    child.send("close");
    await once(child, "exit");
  }
});

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Undefined when the answer would come later than anyone here waits: a claim or result that waits. */
function send(
  method: string,
  path: string,
  body: string | Buffer = "",
  patienceMs = 2_000,
): Promise<Answer | undefined> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        agent,
        host: url.hostname,
        port: url.port,
        method,
        path,
        headers: { "content-length": Buffer.byteLength(body) },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      },
    );
    outgoing.setTimeout(patienceMs, () => {
      resolve(undefined);
      outgoing.destroy();
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function expectSane(answer: Answer | undefined): void {
  if (answer === undefined) return;
  const { status, text } = answer;
  expect(status, text.slice(0, 500)).toBeLessThan(500);
  if (status < 400 || text === "") return;
  const { error, requestId } = JSON.parse(text) as Json;
  expect(STATUS[error.code as keyof typeof STATUS], text.slice(0, 500)).toBe(status);
  expect([typeof error.message, typeof requestId]).toEqual(["string", "string"]);
  expect(text.length).toBeLessThan(20_000);
}

/** Lets go of all tasks, as an operator would. */
async function emptyQueues(): Promise<void> {
  const { queues } = JSON.parse((await send("GET", "/v1/queues"))?.text ?? "") as Json;
  for (const { queue } of queues) {
    for (let leased = 1; leased > 0; ) {
      const page = JSON.parse(
        (await send("GET", `/v1/queues/${queue}/tasks?state=leased&limit=200`))?.text ?? "",
      ) as Json;
      leased = page.tasks.length;
      for (const { id } of page.tasks) await send("POST", `/v1/tasks/${id}/release`, '{"force":true}');
    }
    for (const state of ["scheduled", "ready", "completed", "dead", "cancelled"]) {
      await send("DELETE", `/v1/queues/${queue}/tasks?state=${state}`);
    }
  }
}

async function memory(): Promise<number> {
  await emptyQueues();
  child.send("memory");
  const [{ bytes }] = await once(child, "message");
  return bytes;
}

async function attack(runs: number): Promise<void> {
  for (const name of ROUTE_NAMES) {
    const { method } = ROUTES[name];
    const property = fc.asyncProperty(
      pathsFor(name),
      bodiesFor(name),
      fc.boolean(),
      async (anyPath, body, keepsPath) => {
        const path = keepsPath ? pathOf(ROUTES[name], FILLINGS[name]) : anyPath;
        expectSane(await send(method, path, method === "GET" ? "" : body));
      },
    );
    await fc.assert(property, { numRuns: runs, interruptAfterTimeLimit: 60_000 });
  }
}

describe("a server under hostile input", () => {
  it("answers whatever is sent to any of its routes without a fault of its own, and forgets it", async () => {
    await attack(Math.ceil(RUNS / 5));
    const before = await memory();
    await attack(RUNS);
    const after = await memory();

    expect(errors).toEqual([]);
    expect(child.exitCode).toBeNull();
    expect(after - before).toBeLessThan(REMAINS_BYTES_MAX);
  }, 240_000);

  it("refuses the largest bodies and the deepest ones, and forgets them", async () => {
    const { bodyBytesMax } = LIMITS;
    const bodies = [
      `{"queue":"q","payload":"${"x".repeat(bodyBytesMax - 100)}"}`,
      `{"queue":"q","payload":[${"0,".repeat(bodyBytesMax / 2 - 100)}0]}`,
      `{"queue":"q","payload":"${'\\"'.repeat(bodyBytesMax / 2 - 100)}"}`,
      `{"queue":"q","payload":"${"\\".repeat(bodyBytesMax - 100)}"}`,
      `{"queue":"q","idempotencyKey":"${"é".repeat(bodyBytesMax / 2 - 100)}"}`,
      `{"queue":"q","${"x".repeat(bodyBytesMax - 100)}":1}`,
      `{"tasks":[${'{"queue":"q"},'.repeat(bodyBytesMax / 14 - 10)}{"queue":"q"}]}`,
      "[".repeat(bodyBytesMax),
      '{"a":'.repeat(bodyBytesMax / 5),
      "x".repeat(bodyBytesMax + 1),
    ];
    const before = await memory();
    for (const path of ["/v1/tasks", "/v1/tasks/batch", "/v1/settle"]) {
      for (const body of bodies) {
        const answer = await send("POST", path, body, 60_000);
        expectSane(answer);
        expect(answer?.status).toBeGreaterThanOrEqual(400);
      }
    }

    expect((await memory()) - before).toBeLessThan(REMAINS_BYTES_MAX);
  }, 120_000);

  it("cuts off clients that send slowly, and serves the others meanwhile", async () => {
    const before = await memory();
    const slow = await Promise.all(Array.from({ length: 200 }, () => RawConnection.open(Number(url.port))));
    const whole = RawConnection.request("POST", "/v1/tasks", '{"queue":"q","payload":"slow"}');
    for (const [index, connection] of slow.entries())
      connection.write(whole.slice(0, 1 + (index % (whole.length - 1))));

    expect((await send("GET", "/healthz"))?.status).toBe(200);
    await Promise.all(slow.map((connection) => connection.closed()));
    for (const connection of slow) expect(await connection.answers(1)).toEqual([400]);
    expect((await memory()) - before).toBeLessThan(REMAINS_BYTES_MAX);
  });

  it("survives clients that vanish in the middle of anything", async () => {
    const before = await memory();
    const requests = [
      RawConnection.request("POST", "/v1/tasks", '{"queue":"q","payload":"half"}'),
      RawConnection.request("POST", "/v1/claims", '{"queues":["q"],"waitMs":60000}'),
      RawConnection.request("GET", "/v1/tasks/q~AAAAAAAAAAAAAAAA/result?waitMs=60000"),
      RawConnection.request("GET", "/docs"),
    ];
    for (let round = 0; round < 100; round += 1) {
      const connection = await RawConnection.open(Number(url.port));
      const text = requests[round % requests.length] as string;
      connection.write(round % 3 === 0 ? text : text.slice(0, 1 + ((round * 37) % text.length)));
      connection.vanish();
    }

    expect((await send("GET", "/healthz"))?.status).toBe(200);
    expect((await memory()) - before).toBeLessThan(REMAINS_BYTES_MAX);
    expect(errors).toEqual([]);
  });

  it("survives bytes that are no request", async () => {
    const pieces = fc.constantFrom(
      "GET ",
      "POST ",
      "/v1/tasks",
      " HTTP/1.1",
      " HTTP/9.9",
      "\r\n",
      "\r\n\r\n",
      "\n",
      "\0",
      "host: a",
      "content-length: 5",
      "content-length: -1",
      "transfer-encoding: chunked",
      "transfer-encoding: gzip",
      "expect: 100-continue",
      "upgrade: h2c",
      "connection: upgrade",
      "PRI * HTTP/2.0",
      "{}",
      "ffffffffffffffff",
      ": ",
      "\x80\xff",
    );
    const property = fc.asyncProperty(fc.array(pieces, { maxLength: 12 }), async (parts) => {
      const connection = await RawConnection.open(Number(url.port));
      connection.write(Buffer.from(parts.join(""), "latin1"));
      connection.socket.end();
      await connection.closed();
      for (const status of await connection.answers(0)) expect(status).toBeLessThan(500);
    });
    await fc.assert(property, { numRuns: RUNS, interruptAfterTimeLimit: 60_000 });

    expect((await send("GET", "/healthz"))?.status).toBe(200);
    expect(errors).toEqual([]);
  }, 120_000);
});
