import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort } from "./free-port.ts";
import { guardedFolder } from "./guard.ts";
import { RedisServer, type RedisServerOptions, startRedis } from "./redis-server.ts";
import { until } from "./until.ts";

export interface RedisSentinelOptions {
  /** 1 to 3; more than half of them must agree on a failover. Default 3. */
  readonly sentinels?: 1 | 2 | 3;
  /** After how long without an answer the master counts as down. Default 500. */
  readonly downAfterMs?: number;
  readonly appendonly?: RedisServerOptions["appendonly"];
  /** More arguments of the master and of the replica. */
  readonly args?: readonly string[];
}

export interface RedisSentinel {
  /** `redis+sentinel://` with all sentinels and the master's name. */
  readonly url: string;
  /** The one that was the master at the start. */
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];
  stop(): Promise<void>;
}

const NAME = "mymaster";
const FAILOVER_TIMEOUT_MS = 3_000;

/** Starts a master, its replica and sentinels that watch them; resolves when all know of each other. */
export async function startSentinel(options: RedisSentinelOptions = {}): Promise<RedisSentinel> {
  const { sentinels: count = 3, downAfterMs = 500, appendonly, args = [] } = options;
  const kept = { ...(appendonly && { appendonly }) };
  const master = await startRedis({ ...kept, args: ["--repl-diskless-sync-delay", "0", ...args] });
  const following = ["--replicaof", master.host, String(master.port)];
  const replica = await startRedis({ ...kept, args: [...following, ...args] });
  await until("the replica follows its master", () =>
    says(replica, ["INFO", "replication"], /link_status:up/),
  );
  const sentinels: RedisServer[] = [];
  for (let n = 0; n < count; n += 1) sentinels.push(await startOne(master, count, downAfterMs));
  await Promise.all(sentinels.map((sentinel) => knowsAll(sentinel, count)));
  const places = sentinels.map(({ host, port }) => `${host}:${port}`);
  const stop = async () => {
    await Promise.all(sentinels.map((sentinel) => sentinel.kill())); // First, or they would fail over.
    await Promise.all([master.stop(), replica.stop()]);
  };
  return { url: `redis+sentinel://${places.join(",")}/${NAME}`, master, replica, sentinels, stop };
}

async function startOne(master: RedisServer, count: number, downAfterMs: number): Promise<RedisServer> {
  const folder = await guardedFolder();
  const port = await freePort();
  const file = join(folder, "sentinel.conf"); // A sentinel rewrites its configuration and starts with no other.
  const settings = [
    "bind 127.0.0.1",
    `port ${port}`,
    `dir ${folder}`,
    `sentinel monitor ${NAME} ${master.host} ${master.port} ${Math.floor(count / 2) + 1}`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} ${FAILOVER_TIMEOUT_MS}`,
  ];
  await writeFile(file, `${settings.join("\n")}\n`);
  const sentinel = new RedisServer(port, folder, [file, "--sentinel"]);
  await sentinel.start();
  return sentinel;
}

async function knowsAll(sentinel: RedisServer, count: number): Promise<void> {
  const known = new RegExp(`num-slaves\\n1\\n[^]*num-other-sentinels\\n${count - 1}\\n`);
  await until("a sentinel knows the replica and its like", () =>
    says(sentinel, ["SENTINEL", "MASTER", NAME], known),
  );
}

async function says(server: RedisServer, command: readonly string[], pattern: RegExp): Promise<boolean> {
  const client = new Redis({ host: server.host, port: server.port, enableReadyCheck: false });
  const [name, ...args] = command as [string, ...string[]];
  const reply = await client.call(name, ...args).finally(() => client.disconnect());
  return pattern.test(Array.isArray(reply) ? `${reply.join("\n")}\n` : String(reply));
}
