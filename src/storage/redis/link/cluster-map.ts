import { StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection } from "./connection.ts";
import { type Address, shownAddress } from "./redis-url.ts";
import { type Reply, ReplyError } from "./reply-parser.ts";
import { SLOTS } from "./slots.ts";

/** Which master serves which slot, as one node sees it. */
export interface ClusterMap {
  /** Who says so. */
  readonly from: string;
  /** Undefined where a slot has no master. */
  readonly slots: readonly (Address | undefined)[];
  /** All nodes that serve slots, replicas too, as "host:port". */
  readonly places: ReadonlySet<string>;
}

const TIMEOUT_MS = 2_000;

/** Asks a node for the map (CLUSTER SLOTS). */
export async function readClusterMap(connection: Connection): Promise<ClusterMap> {
  const timer = setTimeout(() => connection.end("no answer in time"), TIMEOUT_MS);
  try {
    const reply = await connection.ask("CLUSTER", ["SLOTS"], TIMEOUT_MS);
    return clusterMapOf(reply, connection.address, connection.where);
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    throw new StorageUnavailableError(
      `The Redis at ${connection.where} does not tell how the cluster is: ${error.message}`,
      { cause: error, details: { applied: "no" } },
    );
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a reply to CLUSTER SLOTS: first slot, last slot, master, replicas, for each range. */
export function clusterMapOf(reply: Reply, asked: Address, from: string): ClusterMap {
  const slots: (Address | undefined)[] = new Array(SLOTS).fill(undefined);
  const places = new Set<string>();
  for (const [first, last, ...nodes] of (reply as Reply[][]) ?? []) {
    const addresses = (nodes as Reply[][]).map(([host, port]) => addressOf(host, port, asked));
    for (const address of addresses) places.add(shownAddress(address));
    slots.fill(addresses[0], Number(first), Number(last) + 1);
  }
  return { from, slots, places };
}

/** A node that does not know by which name it is reached says nothing, or "?": it is where we asked. */
function addressOf(host: Reply | undefined, port: Reply | undefined, asked: Address): Address {
  const isUnknown = typeof host !== "string" || host === "" || host === "?";
  return { host: isUnknown ? asked.host : host, port: Number(port) };
}
