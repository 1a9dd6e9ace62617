import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Connection } from "../../src/sdk/connection.ts";
import { type Moment, moment } from "./history/moment.ts";
import type { Loss } from "./history/story.ts";
import { expectSound, inject } from "./load/fault.ts";
import { INJECTIONS, LEASE_MS, Load, TASKS } from "./load/load.ts";
import { openPlace } from "./load/place.ts";
import { type RedisCluster, startCluster } from "./servers/redis-cluster.ts";
import { startSentinel } from "./servers/redis-sentinel.ts";
import type { RedisServer } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";

const LIMIT_MS = 90_000 + TASKS * 5 + INJECTIONS * 25_000;
/** So long the master's writes reach no replica before it is replaced. */
const UNREPLICATED_MS = 300;
const BROKEN_MS = 20_000;
/** A lease that ran out is taken back within 100 ms; the rest is room for a busy machine. Held up, it takes for ever. */
const REDELIVERED_MS = 2_000;

function adminOf({ host, port }: RedisServer): Redis {
  const client = new Redis({ host, port, retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on("error", () => {}); // It stands still, or ends, on purpose.
  onTestFinished(() => client.disconnect());
  return client;
}

/**
 * Cuts a replica off from its master, so that what is written from now on will be lost when it takes over: no
 * password is known to the master, so one that is offered is refused. Returns the moment before.
 */
async function cutOff(replica: Redis, master: Redis): Promise<Moment> {
  const from = moment();
  await replica.config("SET", "masterauth", "wrong");
  await master.call("CLIENT", "KILL", "TYPE", "REPLICA");
  await until("the replica is cut off", async () => !(await follows(replica)), BROKEN_MS);
  await sleep(UNREPLICATED_MS);
  return from;
}

async function rejoin(replica: Redis): Promise<void> {
  await replica.config("SET", "masterauth", "");
}

async function follows(replica: Redis): Promise<boolean> {
  return /role:slave\r\n(.*\r\n)*master_link_status:up/.test(await replica.info("replication"));
}

/** Whether all sentinels send clients to this server. */
async function areTold(sentinels: readonly Redis[], { port }: RedisServer): Promise<boolean> {
  const told = await Promise.all(
    sentinels.map((sentinel) => sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")),
  );
  return told.every((address) => Number((address as string[])[1]) === port);
}

describe("a failover under load by Sentinel, with writes that were not replicated", () => {
  it(
    "loses no more than those, and brings back no fence and no token",
    async () => {
      const { url, stop, master, replica, sentinels } = await startSentinel();
      onTestFinished(stop);
      const load = await Load.open({ url, commandTimeoutMs: 1_000 });
      onTestFinished(() => load.close());
      await load.here({ producers: 1, perSecond: 120 });
      await load.here({ producers: 1, perSecond: 120 });
      const watchers = sentinels.map(adminOf);
      const losses: Loss[] = [];
      let [old, next] = [
        { server: master, client: adminOf(master) },
        { server: replica, client: adminOf(replica) },
      ];

      await inject(load, async (count) => {
        const from = await cutOff(next.client, old.client);
        old.server.signal("SIGSTOP");
        await rejoin(next.client);
        await until("the sentinels name the replica", () => areTold(watchers, next.server), BROKEN_MS);
        old.server.signal("SIGCONT");
        // The sentinels do it too, after some ten seconds, in which it takes writes; to wait for it once is enough.
        if (count > 0) await old.client.replicaof(next.server.host, next.server.port);
        await until("the old master follows", () => follows(old.client), BROKEN_MS);
        losses.push({ from, to: moment() });
        [old, next] = [next, old];
      });

      const verdicts = await load.finish(losses);
      expectSound("Sentinel failover", load, verdicts);
      expect(verdicts.lost.enqueues).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

async function clusterOf(options: Parameters<typeof startCluster>[0]): Promise<RedisCluster> {
  const cluster = await startCluster(options);
  onTestFinished(() => cluster.stop());
  return cluster;
}

/** The place of the master that has a key; all keys of a queue stand under one hash tag, its name. */
async function homeOfKey(key: string, clients: readonly Redis[]): Promise<number> {
  const slot = Number(await (clients[0] as Redis).call("CLUSTER", "KEYSLOT", key));
  return Math.floor((slot * clients.length) / 16_384);
}

describe("a failover under load in a cluster, with writes that were not replicated", () => {
  it(
    "loses no more than those, and brings back no fence and no token",
    async () => {
      const { url, nodes } = await clusterOf({ masters: 3, replicas: 1 });
      const clients = nodes.map(adminOf);
      const load = await Load.open({ url, commandTimeoutMs: 1_000 });
      onTestFinished(() => load.close());
      await load.here({ producers: 1, perSecond: 120 });
      await load.here({ producers: 1, perSecond: 120 });
      const home = await homeOfKey("{alpha}", clients.slice(0, 3));
      let [old, next] = [clients[home] as Redis, clients[3 + home] as Redis];
      const losses: Loss[] = [];

      await inject(load, async () => {
        const from = await cutOff(next, old);
        await next.call("CLUSTER", "FAILOVER", "TAKEOVER");
        await until("the old master follows", () => follows(old), BROKEN_MS);
        await rejoin(next);
        losses.push({ from, to: moment() });
        [old, next] = [next, old];
      });

      const verdicts = await load.finish(losses);
      expectSound("Cluster failover", load, verdicts);
      expect(verdicts.lost.enqueues).toBeGreaterThan(0);
    },
    LIMIT_MS,
  );
});

const QUEUES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];

async function enqueueOne(connection: Connection, queue: string): Promise<string> {
  const [answer] = await connection.enqueueMany([{ queue, payloadJson: "{}" }]).catch((error) => [{ error }]);
  return answer !== undefined && "error" in answer
    ? `${answer.error.code}: ${answer.error.message}`
    : "taken";
}

/** A prefix whose list of queues is on this node. */
async function prefixAt(home: number, clients: readonly Redis[], stem: string): Promise<string> {
  for (let n = 0; ; n += 1)
    if ((await homeOfKey(`${stem}-${n}:queues`, clients)) === home) return `${stem}-${n}`;
}

async function homesOf(queues: readonly string[], clients: readonly Redis[]): Promise<Map<string, number>> {
  return new Map(
    await Promise.all(queues.map(async (queue) => [queue, await homeOfKey(`{${queue}}`, clients)] as const)),
  );
}

describe("a node of a cluster that is down", () => {
  it(
    "stops its own queues alone, which say so, and they go on when it is back",
    async () => {
      const args = ["--cluster-require-full-coverage", "no"];
      const { url, nodes } = await clusterOf({ masters: 3, appendonly: "always", args });
      const clients = nodes.map(adminOf);
      const homes = await homesOf(QUEUES, clients);
      const listed = 2; // The node that stays.
      const prefix = await prefixAt(listed, clients, "load");
      const load = await Load.open({ url, prefix, commandTimeoutMs: 1_000 }, QUEUES);
      onTestFinished(() => load.close());
      for (const queue of QUEUES)
        await load.here({ queues: [queue], producers: 1, workers: 2, perSecond: 1_000 / QUEUES.length });
      const apart = await prefixAt(listed, clients, "probe");
      const probe = await load.connect({ url, prefix: apart, commandTimeoutMs: 1_000 });

      await inject(load, async (count) => {
        const down = count % listed;
        await nodes[down]?.kill();
        for (const [queue, home] of homes) {
          const said = await enqueueOne(probe, queue);
          if (home === down) expect(said).toMatch(/^storage_unavailable: .*(Redis|cluster)/);
          else expect(said).toBe("taken");
        }
        await nodes[down]?.restart();
        await areBack(probe);
      });

      expectSound("Cluster node down", load, await load.finish());
    },
    LIMIT_MS,
  );
});

interface Crippled {
  readonly connection: Connection;
  readonly node: RedisServer;
  /** Queues of the other nodes. */
  readonly unharmed: readonly string[];
}

/** A cluster of three, of which one will be down: the one that has the list of queues. */
async function soonCrippled(): Promise<Crippled> {
  const args = ["--cluster-require-full-coverage", "no"];
  const { url, nodes } = await clusterOf({ masters: 3, appendonly: "always", args });
  const clients = nodes.map(adminOf);
  const homes = await homesOf(QUEUES, clients);
  const prefix = await prefixAt(0, clients, "list");
  const connection = await openPlace({ url, prefix, commandTimeoutMs: 1_000 });
  onTestFinished(() => connection.close());
  const unharmed = QUEUES.filter((queue) => homes.get(queue) !== 0);
  return { connection, node: nodes[0] as RedisServer, unharmed };
}

describe("the queues of a cluster, while another node is down,", () => {
  it("take tasks, also one that nobody knew before, and are all listed afterwards", async () => {
    const { connection, node, unharmed } = await soonCrippled();

    await node.kill();
    const said = await Promise.all(unharmed.map((queue) => enqueueOne(connection, queue)));
    await node.restart();
    await areBack(connection);

    expect(said).toEqual(unharmed.map(() => "taken"));
    const listed = (await connection.queues()).map(({ queue }) => queue);
    expect(listed).toEqual([...QUEUES].sort());
  });

  it("give the tasks of whoever lets them lie to others in time", async () => {
    const { connection, node, unharmed } = await soonCrippled();
    const queue = unharmed[0] as string;
    for (const each of QUEUES) await enqueueOne(connection, each);
    const claimed = (each: string) =>
      connection.claim({ queues: [each], leaseMs: LEASE_MS, waitMs: 3_000 }).then(([task]) => task?.lease);
    const leases = await Promise.all(QUEUES.map(claimed));
    let end = leases[QUEUES.indexOf(queue)]?.expiresAt as number;

    await node.kill();
    const late: number[] = [];
    for (let count = 0; count < INJECTIONS; count += 1) {
      const lease = await claimed(queue);
      late.push((lease?.claimedAt as number) - end);
      end = lease?.expiresAt as number;
    }

    expect(Math.max(...late)).toBeLessThan(REDELIVERED_MS);
  });
});

async function areBack(probe: Connection): Promise<void> {
  await until("its queues are back", async () => {
    const said = await Promise.all(QUEUES.map((queue) => enqueueOne(probe, queue)));
    return said.every((word) => word === "taken");
  });
}
