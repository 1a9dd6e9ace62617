import { randomBytes } from "node:crypto";
import { Keys } from "../../storage/redis/keys.ts";
import { RedisLink, type RedisOptions } from "../../storage/redis/link/link.ts";
import { RedisStorage } from "../../storage/redis/redis-storage.ts";
import { parseQueueName, type QueueName } from "../../task/ids.ts";
import { claimFindings, enqueueForClaims, timeStorageClaims } from "./claim-probe.ts";
import { type Finding, graded, judged } from "./finding.ts";

const QUEUE = parseQueueName("doctor") as QueueName;
/** Should this process be killed in the middle, its keys go by themselves. */
const KEPT_MS = 10 * 60 * 1_000;
const OPEN_MS = { yellow: 500, red: 5_000 } as const;

/**
 * Opens a store of its own beside the real one, as any process would, and claims in it. Its keys begin with the
 * store's own prefix, so that a user who may touch nothing else may still ask; they are gone at the end.
 */
export async function probeRedis(where: string, options: RedisOptions): Promise<Finding[]> {
  const prefix = `${options.prefix ?? "dibs"}:doctor:${randomBytes(6).toString("hex")}`;
  const link = await RedisLink.open({ ...options, connections: 1, onWarning: () => undefined }, []);
  try {
    return await claimIn(where, { ...options, prefix, onWarning: () => undefined }, link);
  } finally {
    await everyKey(link, keysUnder(prefix), "UNLINK").finally(() => link.close());
  }
}

async function claimIn(
  where: string,
  options: RedisOptions & { readonly prefix: string },
  link: RedisLink,
): Promise<Finding[]> {
  const startedAt = performance.now();
  const storage = await RedisStorage.open(options);
  const openedMs = performance.now() - startedAt;
  try {
    await enqueueForClaims(storage, QUEUE);
    await everyKey(link, keysUnder(options.prefix), "PEXPIRE", KEPT_MS);
    const times = await timeStorageClaims(storage, QUEUE);
    const trouble = storage.trouble();
    return [
      graded({
        check: "opening",
        where,
        value: openedMs,
        unit: "ms",
        ...OPEN_MS,
        advice: "Starts take long: connecting, loading the scripts, or the server itself is slow",
      }),
      judged(trouble === undefined ? "green" : "red", {
        check: "pool",
        where,
        figure:
          trouble?.reason ?? `${storage.connections} for commands to each master, 1 that hears: all stand`,
        bound: "every connection stands",
        advice:
          "See why they are lost: the log of Redis, its timeout and maxclients, a firewall that forgets connections",
      }),
      ...claimFindings(where, "claims of a process of its own", times),
    ];
  } finally {
    await storage.close();
  }
}

/** All keys that the probe can have made, by name: nothing is searched for. */
function keysUnder(prefix: string): string[] {
  const keys = new Keys(prefix, true);
  const [, ...ofQueue] = keys.of(QUEUE) as readonly string[];
  return [keys.format, keys.move, keys.queues, keys.due, ...ofQueue];
}

async function everyKey(
  link: RedisLink,
  keys: readonly string[],
  name: string,
  ...args: number[]
): Promise<void> {
  await Promise.all(keys.map((key) => link.command(name, key, ...args)));
}
