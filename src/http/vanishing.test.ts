import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually, type Json, RawConnection, Serving } from "../../test/http/serving.ts";
import type { QueueName } from "../task/ids.ts";

let serving: Serving;
beforeEach(async () => {
  serving = await Serving.start();
  await serving.ask("PATCH", "/v1/queues/q", {});
});
afterEach(() => serving[Symbol.asyncDispose]());

const claimBody = JSON.stringify({ queues: ["q"], waitMs: 60_000 });
const waitingClaim = RawConnection.request("POST", "/v1/claims", claimBody);

/** How a client can leave. */
const LEAVINGS: readonly [string, (connection: RawConnection) => void][] = [
  ["closes its connection", ({ socket }) => socket.destroy()],
  ["resets its connection", (connection) => connection.vanish()],
  ["says that it will send no more", ({ socket }) => socket.end()],
];

async function parked(count: number): Promise<void> {
  await eventually(
    () => serving.get("/v1/queues/q"),
    ({ json }) => json.waiting === count,
  );
}

async function queue(): Promise<Json> {
  return (await serving.get("/v1/queues/q")).json;
}

describe.each(LEAVINGS)("a client that %s", (_, leave) => {
  it("while its claim waits takes nothing with it", async () => {
    const connection = await serving.connect();
    connection.write(waitingClaim);
    await parked(1);

    leave(connection);
    await parked(0);
    const task = await serving.enqueue();
    expect((await serving.get(`/v1/tasks/${task.id}`)).json).toMatchObject({ state: "ready", attempt: 0 });
  });

  it("while claims wait behind each other on its connection takes nothing with it", async () => {
    const connection = await serving.connect();
    connection.write(waitingClaim.repeat(3));
    await parked(3);

    leave(connection);
    await parked(0);
  });

  it("while a settle waits for its claim has settled, and takes nothing with it", async () => {
    const held = await serving.claimed();
    const outcomes = [{ id: held.id, leaseToken: held.lease.token, outcome: "complete" }];
    const connection = await serving.connect();
    const body = JSON.stringify({ outcomes, claim: { queues: ["q"], waitMs: 60_000 } });
    connection.write(RawConnection.request("POST", "/v1/settle", body));
    await parked(1);

    leave(connection);
    await parked(0);
    expect((await serving.get(`/v1/tasks/${held.id}`)).json.state).toBe("completed");
  });

  it("while it waits for a result leaves the task to its worker", async () => {
    const held = await serving.claimed();
    const connection = await serving.connect();
    connection.write(RawConnection.request("GET", `/v1/tasks/${held.id}/result?waitMs=60000`));
    await serving.get("/healthz");

    leave(connection);
    await connection.closed();
    const done = await serving.post(`/v1/tasks/${held.id}/complete`, { leaseToken: held.lease.token });
    expect(done.status).toBe(200);
  });
});

describe("a task claimed for a client that is gone", () => {
  it("is ready again at once, its attempt uncounted, when the answer cannot be written", async () => {
    const connection = await serving.connect();
    connection.write(waitingClaim);
    await parked(1);

    // Handed over before the server has heard of the reset.
    connection.vanish();
    const { task } = await serving.broker.enqueue({ queue: "q" as QueueName, payload: "1" });

    const back = await eventually(
      () => serving.get(`/v1/tasks/${task.id}`),
      ({ json }) => json.state === "ready",
    );
    expect(back.json.attempt).toBe(0);
    await parked(0);
  });

  it("is ready again when only a part of the answer was taken", async () => {
    const payload = "x".repeat(1_000_000);
    for (let count = 0; count < 16; count += 1) await serving.enqueue({ payload });
    const connection = await serving.connect();
    connection.socket.pause();
    connection.write(RawConnection.request("POST", "/v1/claims", JSON.stringify({ queues: ["q"], max: 16 })));
    await eventually(queue, ({ counts }) => counts.leased === 16);

    connection.vanish();
    await eventually(queue, ({ counts }) => counts.ready === 16);
    const { json } = await serving.get("/v1/queues/q/tasks?state=ready");
    expect(json.tasks.map(({ attempt }: Json) => attempt)).toEqual(Array(16).fill(0));
  });

  it("stays with a client that asked for the connection to end with the answer", async () => {
    const task = await serving.enqueue();
    const connection = await serving.connect();
    connection.write(RawConnection.request("POST", "/v1/claims", claimBody, { connection: "close" }));

    await connection.closed();
    await serving.get("/healthz");
    expect((await serving.get(`/v1/tasks/${task.id}`)).json).toMatchObject({ state: "leased", attempt: 1 });
  });

  it("stays with a client that has read the whole answer and then left", async () => {
    const task = await serving.enqueue();
    const connection = await serving.connect();
    connection.write(waitingClaim);
    await connection.until(() => connection.received.endsWith("}"));

    connection.vanish();
    await serving.connect();
    expect((await serving.get(`/v1/tasks/${task.id}`)).json).toMatchObject({ state: "leased", attempt: 1 });
  });
});

describe("claims that wait", () => {
  it("are answered at once when a task comes, first come first served", async () => {
    const first = await serving.connect();
    first.write(waitingClaim);
    await parked(1);
    const second = await serving.connect();
    second.write(waitingClaim);
    await parked(2);

    await serving.enqueue({ payload: "for the first" });
    await serving.enqueue({ payload: "for the second" });
    await Promise.all(
      [first, second].map((connection) => connection.until(() => connection.received.endsWith("}"))),
    );
    expect(first.received).toContain("for the first");
    expect(second.received).toContain("for the second");
  });

  it("are answered 204 when their time is over", async () => {
    expect((await serving.post("/v1/claims", { queues: ["q"], waitMs: 20 })).status).toBe(204);
  });

  it("hold up no other request on other connections", async () => {
    const connections = await Promise.all(Array.from({ length: 50 }, () => serving.connect()));
    for (const connection of connections) connection.write(waitingClaim);
    await parked(50);

    expect((await serving.get("/v1/queues/q")).json.waiting).toBe(50);
    expect((await serving.get("/metrics")).text).toContain("dibs_waiting_claims 50");
  });
});
