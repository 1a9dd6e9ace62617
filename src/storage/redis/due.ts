import { StorageUnavailableError } from "../../task/errors.ts";
import type { QueueName } from "../../task/ids.ts";
import type { DueQueue } from "../storage.ts";
import type { QueueNames } from "./queue-names.ts";
import type { Store } from "./store.ts";

/** Far longer than a healthy node takes; leases of other nodes must not wait longer for one that is not. */
const NODE_MS = 250;

/** The queues that come due soonest: from one sorted set, in a cluster from one of each queue. */
export async function nextDueAt(store: Store, names: QueueNames, limit: number): Promise<DueQueue[]> {
  if (!store.link.isCluster) return readDue(store, store.keys.due, limit);
  const queues = await inTime(names.read()).catch((error: unknown) => {
    if (store.isClosed || names.known.length === 0) throw error;
    return names.known;
  });
  // A node that is down, or slow to say so, must not hold up the queues of the others.
  const due = await Promise.allSettled(
    queues.map((queue) => inTime(readDue(store, store.keys.dueOf(queue), 1))),
  );
  return due
    .flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []))
    .sort((a, b) => a.at - b.at)
    .slice(0, limit);
}

async function readDue(store: Store, key: string, limit: number): Promise<DueQueue[]> {
  // RESP3 answers in pairs, RESP2 flat.
  const reply = (await store.command<string[]>("ZRANGE", key, 0, limit - 1, "WITHSCORES")).flat();
  const due: DueQueue[] = [];
  for (let i = 0; i < reply.length; i += 2) {
    due.push({ queue: reply[i] as QueueName, at: Number(reply[i + 1]) });
  }
  return due;
}

/** The answer of one node, when it comes in time for the others. */
async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StorageUnavailableError(`No answer within ${NODE_MS} ms`)), NODE_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
