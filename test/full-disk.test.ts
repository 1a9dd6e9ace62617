import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ClaimedTaskMessage, TaskMessage } from "../src/protocol/messages.ts";
import { ServerProcess } from "./command.ts";
import { Http } from "./crash/http.ts";
import { until } from "./crash/until.ts";

/** A real file system of 48 MiB that fills up. Making one needs the right to mount, which not everybody has. */
const DISK_MIB = 48;
const BALLAST_MIB = 16;
const PAYLOAD = "x".repeat(64 * 1024);

let disk: string;
let ballast: string;
let mountRefused: string | undefined;
let server: ServerProcess;
let http: Http;

beforeEach(async () => {
  disk = await mkdtemp(join(tmpdir(), "dibs-full-disk-"));
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "dibs-full-disk", disk]);
  ballast = join(disk, "ballast");
  if (mount.status !== 0) mountRefused = mount.error?.message ?? mount.stderr.toString().trim();
});

afterEach(async () => {
  http?.close();
  await server?.stop();
  if (mountRefused === undefined) spawnSync("umount", [disk]);
  await rm(disk, { recursive: true, force: true });
});

describe("a full disk", () => {
  it("refuses new tasks, lets work go on, and takes new tasks when there is room again", async ({ skip }) => {
    if (mountRefused !== undefined) skip(`no file system to fill: ${mountRefused}`);
    const { acknowledged } = await fill();
    const completed = await workOn(20);
    expect(await enqueue()).toMatchObject(REFUSED);
    expect(await http.get("/readyz")).toMatchObject({ status: 503 });

    await rm(ballast);
    await until(async () => {
      const reply = await enqueue();
      if (reply.status === 201) acknowledged.push((reply.body as TaskMessage).id);
      return reply.status === 201;
    });

    await server.terminate();
    await serve();
    await expectKept(acknowledged, completed);
  });

  it.for(["SIGTERM", "SIGKILL"] as const)(
    "keeps nobody from starting again after %s",
    async (signal, { skip }) => {
      if (mountRefused !== undefined) skip(`no file system to fill: ${mountRefused}`);
      const { acknowledged } = await fill();
      const completed = await workOn(5);

      server.send(signal);
      await server.ended();
      await serve();

      await expectKept(acknowledged, completed);
      expect(await enqueue()).toMatchObject(REFUSED);
      await expectKept(acknowledged, [...completed, ...(await workOn(5))]);
    },
  );
});

/** Starts a server on the disk and enqueues until it is full. */
async function fill(): Promise<{ acknowledged: string[] }> {
  await writeFile(ballast, Buffer.alloc(BALLAST_MIB * 1024 * 1024, 1));
  await serve();
  return { acknowledged: await enqueueUntilRefused() };
}

async function serve(): Promise<void> {
  http?.close();
  server = await ServerProcess.start(join(disk, "store"));
  http = new Http(server.url);
}

async function expectKept(acknowledged: readonly string[], completed: readonly string[]): Promise<void> {
  for (const id of acknowledged) {
    const { status, body } = await http.get(`/v1/tasks/${id}`);
    expect(status).toBe(200);
    expect((body as TaskMessage).state).toBe(completed.includes(id) ? "completed" : "ready");
    expect((body as TaskMessage).payload).toBe(PAYLOAD);
  }
}

const REFUSED = { status: 503, body: { error: { code: "storage_unavailable" } } };

function enqueue() {
  return http.post("/v1/tasks", { queue: "big", payload: PAYLOAD });
}

async function enqueueUntilRefused(): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const reply = await enqueue();
    if (reply.status !== 201) {
      expect(reply).toMatchObject(REFUSED);
      expect(ids.length).toBeGreaterThan(50);
      return ids;
    }
    ids.push((reply.body as TaskMessage).id);
  }
}

async function workOn(count: number): Promise<string[]> {
  const claim = await http.post("/v1/claims", { queues: ["big"], max: count });
  expect(claim.status).toBe(200);
  const { tasks } = claim.body as { tasks: ClaimedTaskMessage[] };
  expect(tasks).toHaveLength(count);
  for (const { id, lease } of tasks) {
    const reply = await http.post(`/v1/tasks/${id}/complete`, { leaseToken: lease.token, result: "done" });
    expect(reply).toMatchObject({ status: 200, body: { state: "completed" } });
  }
  return tasks.map(({ id }) => id);
}
