// Fills the folder given with tasks that have keys of their own, works them off and removes them, until an enqueue is
// refused; then lets a day pass, and goes on. Tells each step as a line of JSON on stdout.

import { Broker } from "../../dist/broker/broker.js";
import { ManualClock } from "../../dist/clock.js";
import { EmbeddedStorage } from "../../dist/storage/embedded/embedded-storage.js";

const QUEUE = "emails";
const BATCH = 200;
const DAY_MS = 86_400_000;
const [folder, memoryBytesMax] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const clock = new ManualClock();
const storage = await EmbeddedStorage.open({
  folder,
  clock,
  ...(memoryBytesMax !== undefined && { memoryBytesMax: Number(memoryBytesMax) }),
});
const broker = await Broker.open(storage);
let keys = 0;

function request() {
  keys += 1;
  return { queue: QUEUE, payload: "null", idempotencyKey: `key-${String(keys).padStart(32, "0")}` };
}

/** The first refusal; undefined when all were taken. */
async function enqueue() {
  const outcomes = await Promise.allSettled(Array.from({ length: BATCH }, () => broker.enqueue(request())));
  return outcomes.find(({ status }) => status === "rejected")?.reason;
}

/** Claims and completes all that is ready, and removes it. */
async function workOff() {
  let completed = 0;
  for (;;) {
    const { grants } = await storage.claim(QUEUE, [{ max: 1_000 }]);
    if (grants[0].length === 0) break;
    const done = grants[0].map(({ id, lease: { token } }) => ({ outcome: "complete", id, token }));
    const { outcomes } = await storage.settle(QUEUE, done);
    completed += outcomes.filter(({ kind }) => kind === "completed").length;
  }
  while ((await storage.purge(QUEUE, "completed", 500)).more);
  return completed;
}

let refusal;
while (refusal === undefined) {
  refusal = await enqueue();
  if (refusal === undefined) await workOff();
}
say({ step: "refused", code: refusal.code, message: refusal.message, details: refusal.details });
say({ step: "drained", completed: await workOff(), ...storage.memory });
clock.advance(DAY_MS);
while ((await storage.prune(QUEUE, 500)).more);
say({ step: "forgotten", ...storage.memory });
say({ step: "again", refused: (await enqueue())?.code, completed: await workOff() });
await broker.close();
