import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerProcess } from "./command.ts";
import { Http } from "./crash/http.ts";
import type { Json } from "./http/serving.ts";

/** Two hundred claimers at once, over HTTP, on a real server with its journal on disk. */
const CLAIMERS = 200;
const TASKS = 20_000;
const BATCH = 1_000;

let folder: string;
let server: ServerProcess;
let http: Http;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-claimers-"));
  server = await ServerProcess.start(folder);
  http = new Http(server.url);
});

afterAll(async () => {
  http.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What one claim brought, between the moments that it was sent and that its answer was there. */
interface Haul {
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly tasks: readonly Json[];
}

/** Enqueues tasks of all priorities; the payload is the place in which the task is to be claimed. */
async function enqueueAll(queue: string): Promise<void> {
  const priorities = Array.from({ length: TASKS }, (_, index) => (index * 7) % 10);
  const ranks = new Array<number>(TASKS);
  const order = [...priorities.keys()].sort(
    (a, b) => (priorities[b] as number) - (priorities[a] as number) || a - b,
  );
  for (const [rank, index] of order.entries()) ranks[index] = rank;
  for (let start = 0; start < TASKS; start += BATCH) {
    const tasks = ranks
      .slice(start, start + BATCH)
      .map((rank, index) => ({ queue, payload: rank, priority: priorities[start + index] }));
    await http.post("/v1/tasks/batch", { tasks });
  }
}

/** Claims one after the other until nothing is left, with one call for completing and claiming, or with two. */
async function claimAll(queue: string, max: number, isFused: boolean): Promise<Haul[]> {
  const claim = { queues: [queue], max, leaseMs: 600_000 };
  const hauls: Haul[] = [];
  let held: readonly Json[] = [];
  for (;;) {
    const outcomes = held.map(({ id, lease }) => ({ id, leaseToken: lease.token, outcome: "complete" }));
    const sentAt = performance.now();
    const reply =
      isFused && outcomes.length > 0
        ? await http.post("/v1/settle", { outcomes, claim })
        : await http.post("/v1/claims", claim);
    const receivedAt = performance.now();
    held = (reply.body as Json)?.tasks ?? [];
    if (held.length === 0) return hauls;
    hauls.push({ sentAt, receivedAt, tasks: held });
    if (isFused) continue;
    for (const { id, lease } of held) {
      const done = await http.post(`/v1/tasks/${id}/complete`, { leaseToken: lease.token });
      expect(done.status).toBe(200);
    }
  }
}

function ranksOf(hauls: readonly Haul[]): number[] {
  return hauls.flatMap(({ tasks }) => tasks.map(({ payload }) => payload as number));
}

/** Claims that were made after others were answered and yet brought tasks that were to come before theirs. */
function outOfOrder(hauls: readonly Haul[]): string[] {
  const bySent = [...hauls].sort((a, b) => a.sentAt - b.sentAt);
  const byReceived = [...hauls].sort((a, b) => a.receivedAt - b.receivedAt);
  const faults: string[] = [];
  let answered = 0;
  let highest = -1;
  for (const haul of bySent) {
    for (
      let next = byReceived[answered];
      next !== undefined && next.receivedAt < haul.sentAt;
      next = byReceived[answered]
    ) {
      highest = Math.max(highest, ...ranksOf([next]));
      answered += 1;
    }
    const lowest = Math.min(...ranksOf([haul]));
    if (lowest < highest) faults.push(`${lowest} came after ${highest}`);
  }
  return faults;
}

describe("two hundred concurrent claimers", () => {
  it("get each of twenty thousand tasks once, by priority and first in first out within it", async () => {
    await enqueueAll("ordered");

    const sizes = [1, 1, 2, 5, 10];
    const claimers = Array.from({ length: CLAIMERS }, (_, n) =>
      claimAll("ordered", sizes[n % 5] as number, n % 2 === 0),
    );
    const hauls = (await Promise.all(claimers)).flat();

    const ranks = ranksOf(hauls);
    expect(ranks).toHaveLength(TASKS);
    expect(new Set(ranks).size).toBe(TASKS);
    expect(outOfOrder(hauls)).toEqual([]);
    for (const { tasks } of hauls) {
      const inside = tasks.map(({ payload }) => payload as number);
      expect(inside).toEqual([...inside].sort((a, b) => a - b));
    }
    const { body } = await http.get("/v1/queues/ordered");
    expect((body as Json).counts).toMatchObject({ ready: 0, leased: 0, scheduled: 0, dead: 0 });
    expect((body as Json).enqueued).toBe(TASKS);
  });

  it("that wait get each task once while tasks are still coming", async () => {
    let isOver = false;
    const waiting = Array.from({ length: CLAIMERS }, async () => {
      const got: number[] = [];
      while (!isOver) {
        const { body } = await http.post("/v1/claims", {
          queues: ["coming"],
          waitMs: 1_000,
          leaseMs: 600_000,
        });
        for (const { payload } of (body as Json)?.tasks ?? []) got.push(payload);
      }
      return got;
    });
    await enqueueAll("coming");
    for (let ready = 1; ready > 0; ) {
      const { body } = await http.get("/v1/queues/coming");
      ready = (body as Json).counts.ready;
    }
    isOver = true;

    const got = (await Promise.all(waiting)).flat();
    expect(got).toHaveLength(TASKS);
    expect(new Set(got).size).toBe(TASKS);
  });
});
