import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServerProcess } from "./command.ts";
import { audit, closeQuestions } from "./crash/audit.ts";
import { Http } from "./crash/http.ts";
import { Ledger } from "./crash/ledger.ts";
import { bodyOf, Load, PARKED_QUEUE, QUEUES } from "./crash/load.ts";
import { Random } from "./crash/random.ts";
import { type Snapshot, takeSnapshot } from "./crash/snapshot.ts";
import { until } from "./crash/until.ts";

/**
 * A real server under mixed load is killed, or stopped, in the middle of it; its clients run here, in another
 * process, and remember what they were told. After each restart what they were told is compared with what is.
 *
 * DIBS_CRASH_KILLS sets the number of kills, DIBS_CRASH_SEED the choices of the clients.
 */
const KILLS = Number(process.env["DIBS_CRASH_KILLS"] ?? 10);
const SEED = Number(process.env["DIBS_CRASH_SEED"] ?? Date.now() % 1_000_000);
const ACKNOWLEDGED_MIN = 1_000;
const UNANSWERED_MIN = 20;
const ACTORS = { busy: 64, parked: 8 };
const KEEP_ALL = {
  retention: {
    completedMs: 86_400_000,
    completedMax: 10_000_000,
    deadMs: 86_400_000,
    deadMax: 10_000_000,
    bytesMax: 2 ** 40,
  },
};

const NOTHING = { status: 204, body: undefined };

let folder: string;
let server: ServerProcess;
let http: Http;
let ledger: Ledger;
let random: Random;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-crash-"));
  ledger = new Ledger();
  random = new Random(SEED);
  await serve();
  for (const queue of [...QUEUES, PARKED_QUEUE]) await http.patch(`/v1/queues/${queue}`, KEEP_ALL);
});

afterEach(async () => {
  http?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function serve(): Promise<void> {
  server = await ServerProcess.start(folder);
  http = new Http(server.url);
}

/** Load until so much was acknowledged, and a random bit more. */
async function loadUntil(acknowledged: number): Promise<Load> {
  const load = new Load(http, ledger, random, ACTORS);
  const enough = ledger.acknowledged + acknowledged + random.below(400);
  await until(() => ledger.acknowledged >= enough && http.underWay >= UNANSWERED_MIN);
  return load;
}

/** Starts the server again and compares. */
async function auditAfterRestart(): Promise<Snapshot> {
  http.close();
  await serve();
  const snapshot = await takeSnapshot(http);
  expect(audit(ledger, snapshot), `seed ${SEED}`).toEqual([]);
  closeQuestions(ledger, snapshot);
  await purgeCompleted(snapshot);
  return snapshot;
}

/** Keeps the next look short. What is deleted must not be there after the next crash. */
async function purgeCompleted({ queues, tasks }: Snapshot): Promise<void> {
  for (const { queue, counts } of queues) {
    const reply = await http.delete(`/v1/queues/${queue}/tasks?state=completed`);
    expect(reply).toMatchObject({ status: 200, body: { deleted: counts.completed } });
  }
  for (const { id, state } of tasks) if (state === "completed") ledger.tasks.delete(id);
}

describe("a server killed in the middle of mixed load", () => {
  it(
    `keeps all that it acknowledged, through ${KILLS} kills`,
    async () => {
      for (let kill = 1; kill <= KILLS; kill += 1) {
        const before = { acknowledged: ledger.acknowledged, unanswered: ledger.unanswered };
        const load = await loadUntil(ACKNOWLEDGED_MIN);
        await server.kill();
        await load.ended();

        expect(load.faults, `seed ${SEED}`).toEqual([]);
        expect(ledger.acknowledged - before.acknowledged).toBeGreaterThanOrEqual(ACKNOWLEDGED_MIN);
        expect(ledger.unanswered - before.unanswered).toBeGreaterThanOrEqual(UNANSWERED_MIN);
        await auditAfterRestart();
      }
    },
    30_000 + KILLS * 20_000,
  );

  it("gives the same task for a key whose enqueue was acknowledged before the kill", async () => {
    const load = await loadUntil(ACKNOWLEDGED_MIN);
    await server.kill();
    await load.ended();
    await auditAfterRestart();

    const keyed = [...ledger.tasks.values()]
      .filter(({ sent }) => sent.idempotencyKey !== undefined)
      .slice(-100);
    expect(keyed.length).toBeGreaterThan(20);
    for (const { id, sent } of keyed) {
      const reply = await http.post("/v1/tasks", bodyOf(sent));
      expect(reply).toMatchObject({ status: 200, body: { id, deduplicated: true } });
    }
  });
});

describe("a server stopped in the middle of mixed load", () => {
  it("answers what it has begun, and the claims that wait, keeps everything, and exits with 0", async () => {
    const parked = ["1", "2", "3"].map(() => http.post("/v1/claims", { queues: ["quiet"], waitMs: 60_000 }));
    await http.patch("/v1/queues/quiet", {});
    await until(async () => ((await http.get("/v1/queues/quiet")).body as { waiting: number }).waiting === 3);
    const load = await loadUntil(ACKNOWLEDGED_MIN);

    const end = await server.terminate();
    await load.ended();

    expect(end).toMatchObject({ code: 0, signal: null });
    expect(load.faults, `seed ${SEED}`).toEqual([]);
    expect(await Promise.all(parked)).toEqual([NOTHING, NOTHING, NOTHING]);
    // A request that meets the closing of its idle connection is not answered; then it must not have happened.
    const unanswered = new Set(ledger.unknownEnqueues.keys());
    const unheard = new Set(ledger.unknownClaims);
    const { tasks } = await auditAfterRestart();
    expect(tasks.filter(({ payload }) => unanswered.has((payload as { number: number }).number))).toEqual([]);
    expect(tasks.filter(({ lease }) => unheard.has(lease?.worker ?? ""))).toEqual([]);
  });
});

describe("a dev server that restarts again and again", () => {
  it("keeps all that it acknowledged, whichever way it ends", async () => {
    for (let restart = 1; restart <= 10; restart += 1) {
      const load = await loadUntil(100);
      await (restart % 2 === 0 ? server.kill() : server.terminate());
      await load.ended();
      expect(load.faults, `seed ${SEED}`).toEqual([]);
      http.close();
      await serve();
    }
    await server.terminate();
    await auditAfterRestart();
  });
});

describe("a second server on the folder", () => {
  it("is told who has it, where, and what to do; the first goes on", async () => {
    const second = await ServerProcess.start(folder).catch((error: Error) => error);

    expect(second).toBeInstanceOf(Error);
    const { message } = second as Error;
    expect(message).toContain("storage_unavailable");
    expect(message).toContain(String(server.pid));
    expect(message).toContain(server.url);
    expect(await http.get("/readyz")).toMatchObject({ status: 200 });
  });
});
