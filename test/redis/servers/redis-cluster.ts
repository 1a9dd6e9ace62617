import { once } from "node:events";
import { Redis } from "ioredis";
import { type RedisServer, type RedisServerOptions, startRedis } from "./redis-server.ts";
import { until } from "./until.ts";

export interface RedisClusterOptions {
  /** Masters, 1 or more, each with its even share of the slots. Default 3. */
  readonly masters?: number;
  /** Replicas of each master. Default 0. */
  readonly replicas?: number;
  /** After how long without an answer a node counts as down. Default 2,000. */
  readonly nodeTimeoutMs?: number;
  readonly appendonly?: RedisServerOptions["appendonly"];
  /** More arguments of every node. */
  readonly args?: readonly string[];
}

export interface RedisCluster {
  /** `redis+cluster://` with all masters. */
  readonly url: string;
  /** First the masters in the order of their slots, then the replicas: the first master's, the second's, … */
  readonly nodes: readonly RedisServer[];
  stop(): Promise<void>;
}

const SLOTS = 16_384;

/** Starts a real cluster on the loopback interface; resolves when every node says `cluster_state:ok`. */
export async function startCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { masters = 3, replicas = 0, nodeTimeoutMs = 2_000, appendonly, args = [] } = options;
  const count = masters * (1 + replicas);
  const clustered = ["--cluster-enabled", "yes", "--cluster-node-timeout", String(nodeTimeoutMs)];
  const node = { args: [...clustered, ...args], ...(appendonly && { appendonly }) };
  const nodes = await Promise.all(Array.from({ length: count }, () => startRedis(node)));
  const stop = async () => void (await Promise.all(nodes.map((server) => server.stop())));
  try {
    await join(nodes, masters);
  } catch (error) {
    await stop();
    throw error;
  }
  const places = nodes.slice(0, masters).map(({ host, port }) => `${host}:${port}`);
  return { url: `redis+cluster://${places.join(",")}`, nodes, stop };
}

async function join(nodes: readonly RedisServer[], masters: number): Promise<void> {
  const clients = await Promise.all(nodes.map(clientOf));
  try {
    await Promise.all(clients.map((client, at) => client.call("CLUSTER", "SET-CONFIG-EPOCH", at + 1)));
    await shareSlots(clients.slice(0, masters));
    await meet(clients, nodes);
    await follow(clients, masters);
    await until("every node of the cluster is ok", () => areAll(clients, "cluster_state:ok"));
  } finally {
    for (const client of clients) client.disconnect();
  }
}

async function shareSlots(masters: readonly Redis[]): Promise<void> {
  const firstOf = (at: number) => Math.floor((SLOTS * at) / masters.length);
  const shares = masters.map((client, at) =>
    client.call("CLUSTER", "ADDSLOTSRANGE", firstOf(at), firstOf(at + 1) - 1),
  );
  await Promise.all(shares);
}

async function meet(clients: readonly Redis[], nodes: readonly RedisServer[]): Promise<void> {
  // Everyone greets everyone, so that nobody waits until gossip has told it of a third.
  for (const client of clients)
    await Promise.all(nodes.map(({ host, port }) => client.call("CLUSTER", "MEET", host, port)));
  const known = `cluster_known_nodes:${nodes.length}`;
  await until("every node knows every other", async () => {
    const lists = await Promise.all(clients.map((client) => client.call("CLUSTER", "NODES")));
    const isMet = !/handshake/.test(lists.join());
    return isMet && (await areAll(clients, known));
  });
}

async function follow(clients: readonly Redis[], masters: number): Promise<void> {
  const perMaster = clients.length / masters - 1;
  const replicas = clients.slice(masters);
  for (const [at, replica] of replicas.entries()) {
    const master = clients[Math.floor(at / perMaster)] as Redis;
    await replica.call("CLUSTER", "REPLICATE", String(await master.call("CLUSTER", "MYID")));
  }
  await until("every replica follows its master", async () => {
    const infos = await Promise.all(replicas.map((client) => client.info("replication")));
    return infos.every((text) => text.includes("master_link_status:up"));
  });
}

async function areAll(clients: readonly Redis[], fact: string): Promise<boolean> {
  const infos = await Promise.all(clients.map((client) => client.call("CLUSTER", "INFO")));
  return infos.every((text) => String(text).split("\r\n").includes(fact));
}

async function clientOf({ host, port }: RedisServer): Promise<Redis> {
  const client = new Redis({ host, port });
  await once(client, "ready");
  return client;
}
