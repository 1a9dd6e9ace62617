// Works on the folder given as its argument until it is killed, with segments so small that snapshots run all the
// time. What it found is its first line; then a line for each thing that the engine answered:
//
//   found {"queues":…,"tasks":{id: state},"oldest":number of the oldest segment}
//   e id              enqueued          d id result   completed
//   f id fence        claimed           c id          is about to be cancelled and removed
import { randomBytes } from "node:crypto";
import { readdirSync, writeSync } from "node:fs";
import { EmbeddedStorage } from "../../dist/storage/embedded/embedded-storage.js";

const [folder, durability] = process.argv.slice(2);
const QUEUE = "work";
const STATES = ["scheduled", "ready", "leased", "completed", "dead", "cancelled"];
const storage = await EmbeddedStorage.open({
  folder,
  durability,
  segmentBytes: 32 * 1024,
  reserveBytes: 64 * 1024,
  cacheBytesMax: 16 * 1024,
  fenceBlock: 64,
});
// At once and whole, so that a line that was read was answered.
const say = (line) => writeSync(1, `${line}\n`);
say(`found ${JSON.stringify(await found())}`);
await storage.configure(QUEUE, {
  config: { retention: { completedMs: 1e9, completedMax: 1e6, bytesMax: 1e12 } },
});
for (;;) await round();

async function found() {
  const tasks = {};
  for (const state of STATES) {
    let cursor;
    do {
      const page = await storage.list(QUEUE, { state, limit: 200, ...(cursor && { cursor }) });
      for (const task of page.tasks) {
        if (tasks[task.id] !== undefined) throw new Error(`${task.id} is ${tasks[task.id][0]} and ${state}`);
        tasks[task.id] = [state, task.result ?? "", task.payload];
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
  const { counts } = (await storage.snapshot(QUEUE)) ?? {};
  const segments = readdirSync(folder).filter((name) => name.startsWith("journal-"));
  return { tasks, counts, oldest: Math.min(...segments.map((name) => Number.parseInt(name.slice(8), 10))) };
}

/** Five tasks come; one is completed, three are cancelled and removed, one is given back. */
async function round() {
  const ids = Array.from({ length: 5 }, () => `${QUEUE}~${randomBytes(12).toString("base64url")}`);
  await storage.enqueue(QUEUE, ids.map(newTask));
  for (const id of ids) say(`e ${id}`);
  const { grants } = await storage.claim(QUEUE, [{ max: 2, leaseMs: 60_000 }]);
  for (const { id, lease } of grants[0]) say(`f ${id} ${lease.fence}`);
  const [first, second] = grants[0];
  await storage.settle(QUEUE, [
    {
      outcome: "complete",
      id: first.id,
      token: first.lease.token,
      result: JSON.stringify(first.lease.fence),
    },
    { outcome: "release", id: second.id, token: second.lease.token },
  ]);
  say(`d ${first.id} ${first.lease.fence}`);
  const { tasks } = await storage.list(QUEUE, { state: "ready", limit: 3 });
  for (const { id } of tasks) say(`c ${id}`);
  await storage.cancel(
    QUEUE,
    tasks.map(({ id }) => id),
  );
  await storage.purge(QUEUE, "cancelled", 100);
  await new Promise((resolve) => setImmediate(resolve));
}

function newTask(id) {
  return { id, payload: JSON.stringify({ id, pad: "p".repeat(200) }) };
}
