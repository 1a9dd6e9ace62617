import { createHash } from "node:crypto";
import { onTestFinished } from "vitest";
import { Broker } from "../../src/broker/broker.ts";
import { createServer, type DibsServer } from "../../src/http/server.ts";
import { HttpClaims } from "../../src/lab/profile/http-claims.ts";
import { LocalClaims } from "../../src/lab/profile/local-claims.ts";
import { OwnProbe } from "../../src/lab/profile/process-probe.ts";
import { RedisSide } from "../../src/lab/profile/redis-side.ts";
import { type Splits, splitsOf } from "../../src/lab/profile/split.ts";
import { joined, unpack } from "../../src/lab/profile/trace.ts";
import { LocalConnection } from "../../src/local-connection.ts";
import type { Connection } from "../../src/sdk/connection.ts";
import { HttpConnection } from "../../src/sdk/http-connection.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { SCRIPTS } from "../../src/storage/redis/scripts.ts";
import type { QueueName } from "../../src/task/ids.ts";
import { SlowProxy } from "./slow-proxy.ts";

export const QUEUE = "profiled" as QueueName;

export interface ProfiledWish {
  /** Of a Redis; without one the tasks are in memory. */
  readonly redisUrl?: string;
  /** Through a server and a socket. */
  readonly isHttp: boolean;
  readonly callers?: number;
  readonly claims?: number;
  /** Makes something slow, once all is open and the queue is filled. */
  readonly slow?: (opened: OpenedPath) => void;
  /** Put in at the beginning of the claim script. */
  readonly lua?: string;
}

/** A claim's way, whole and real, in this one process. */
export interface OpenedPath {
  readonly server: DibsServer | undefined;
  /** Between client and server, and between engine and Redis. */
  readonly httpProxy: SlowProxy | undefined;
  readonly redisProxy: SlowProxy | undefined;
  /** What the caller's claims go through. */
  connection: Pick<Connection, "claim">;
}

let stores = 0;

/** Claims along the whole way, and splits their time. */
export async function profiled(wish: ProfiledWish): Promise<Splits> {
  const { redisUrl, isHttp, callers = 1, claims = 16 } = wish;
  const redisProxy =
    redisUrl === undefined ? undefined : await SlowProxy.open(Number(new URL(redisUrl).port));
  const broker = await Broker.open(await storageAt(redisProxy, wish.lua));
  const server = isHttp ? await createServer(broker, { logger: silent() }) : undefined;
  const url = await server?.listen({ host: "127.0.0.1", port: 0 });
  const httpProxy = url === undefined ? undefined : await SlowProxy.open(Number(new URL(url).port));
  const real =
    httpProxy === undefined
      ? new LocalConnection(broker, "profiled")
      : new HttpConnection(new URL(`http://127.0.0.1:${httpProxy.port}`));
  onTestFinished(async () => {
    await real.close();
    await server?.close();
    await broker.close();
    await httpProxy?.close();
    await redisProxy?.close();
  });
  const probe = new OwnProbe(() => server?.app.server);
  await probe.prepare(1);
  await real.enqueueMany(
    Array.from({ length: 2 * claims + 50 }, (_, n) => ({ queue: QUEUE, payloadJson: `{"n":${n}}` })),
  );
  const path: OpenedPath = { server, httpProxy, redisProxy, connection: real };
  // The first claims open connections and warm the code up.
  await claimAll(real, claims, callers);
  wish.slow?.(path);
  const caller = isHttp
    ? new HttpClaims(path.connection, 1)
    : new LocalClaims(path.connection, probe.tracer, 1);
  const redis = redisUrl === undefined ? undefined : await RedisSide.open({ url: redisUrl });
  await redis?.resume();
  await probe.resumeProbe("claims");
  if (caller instanceof HttpClaims) caller.resume();
  await claimAll(caller, claims, callers);
  if (caller instanceof HttpClaims) caller.pause();
  await probe.pauseProbe("claims");
  await redis?.pause();
  const { traces, pauses } = await probe.takeTraces();
  const reading = await redis?.take();
  await redis?.close();
  const whole = caller instanceof HttpClaims ? joined(caller.take(), unpack(traces)) : unpack(traces);
  const scriptMs = reading === undefined ? 0 : reading.scripts.us / reading.scripts.calls / 1_000;
  const splits = splitsOf(whole, { caller: pauses, server: pauses }, scriptMs);
  if (splits === undefined || splits.all.claims !== claims)
    throw new Error(`${splits?.all.claims} of ${claims} claims were traced`);
  return splits;
}

async function claimAll(by: Pick<Connection, "claim">, claims: number, callers: number): Promise<void> {
  let left = claims;
  const body = { queues: [QUEUE], max: 1, leaseMs: 600_000 };
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (left > 0) {
        left -= 1;
        const tasks = await by.claim(body);
        if (tasks.length !== 1) throw new Error(`A claim gave ${tasks.length} tasks`);
      }
    }),
  );
}

async function storageAt(redis: SlowProxy | undefined, lua: string | undefined) {
  if (redis === undefined) return EmbeddedStorage.open({});
  stores += 1;
  const place = { url: `redis://127.0.0.1:${redis.port}`, prefix: `profiled-${process.pid}-${stores}` };
  const { claim } = SCRIPTS;
  try {
    if (lua !== undefined) {
      const source = claim.source.replace("\n", `\n${lua}\n`);
      const sha = createHash("sha1").update(source).digest("hex");
      Object.assign(SCRIPTS, { claim: { ...claim, source, sha } });
    }
    const storage = await RedisStorage.open(place);
    return storage;
  } finally {
    if (lua === undefined) Object.assign(SCRIPTS, { claim });
    else onTestFinished(() => void Object.assign(SCRIPTS, { claim }));
  }
}

function silent() {
  const nothing = () => {};
  return {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
    isLevelEnabled: () => false,
  };
}
