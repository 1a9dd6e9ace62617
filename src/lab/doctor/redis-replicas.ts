import type { Connection } from "../../storage/redis/link/connection.ts";
import { parseAddress } from "../../storage/redis/link/redis-url.ts";
import { type Finding, graded, judged, shown } from "./finding.ts";
import type { RedisServers } from "./redis-servers.ts";
import { type ClockOffset, clockOffset, replicaClockFinding } from "./server-time.ts";

/** A replica as its master tells of it. */
export interface ReplicaFacts {
  readonly where: string;
  readonly state: string;
  /** What the replica has not confirmed, bytes. */
  readonly behindBytes: number;
  /** Since the replica was heard, seconds; it reports each second. */
  readonly silentS: number;
}

const SILENT_S = { yellow: 3, red: 10 } as const;

/** Reads `slave0:ip=…,port=…,state=…,offset=…,lag=…` and so on of INFO. */
export function replicasOf(info: Readonly<Record<string, string>>): ReplicaFacts[] {
  const offset = Number(info["master_repl_offset"] ?? 0);
  const replicas: ReplicaFacts[] = [];
  for (const [name, text] of Object.entries(info)) {
    if (!/^slave\d+$/.test(name)) continue;
    const fields = new Map(text.split(",").map((part) => part.split("=", 2) as [string, string]));
    const host = fields.get("ip") ?? "?";
    replicas.push({
      where: `${host.includes(":") ? `[${host}]` : host}:${fields.get("port")}`,
      state: fields.get("state") ?? "unknown",
      behindBytes: Math.max(0, offset - Number(fields.get("offset") ?? 0)),
      silentS: Number(fields.get("lag") ?? 0),
    });
  }
  return replicas;
}

/** The replicas of one master. `isWanted` where a failover is hoped for: in a cluster, and behind sentinels. */
export async function replicaFindings(
  servers: RedisServers,
  master: Connection,
  info: Readonly<Record<string, string>>,
  clock: ClockOffset,
  isWanted: boolean,
): Promise<Finding[]> {
  const replicas = replicasOf(info);
  if (replicas.length === 0)
    return [
      judged(isWanted ? "yellow" : "green", {
        check: "replicas",
        where: master.where,
        figure: "none",
        bound: isWanted ? "at least one" : "any number",
        advice: "When this master is gone its queues stand still: nobody can take its place",
      }),
    ];
  const backlog = Number(info["repl_backlog_size"] ?? 1024 * 1024);
  const findings: Finding[] = [];
  for (const replica of replicas) {
    findings.push(...lagFindings(replica, backlog));
    findings.push(...(await clockFindings(servers, replica, clock)));
  }
  return findings;
}

function lagFindings({ where, state, behindBytes, silentS }: ReplicaFacts, backlog: number): Finding[] {
  if (state !== "online")
    return [
      {
        check: "replica lag",
        where,
        colour: "red",
        figure: state,
        bound: "online",
        advice: "A failover now would lose what this replica lacks: see its log, and wait until it is online",
      },
    ];
  return [
    graded({
      check: "replica lag",
      where,
      value: behindBytes,
      unit: "bytes",
      yellow: backlog / 2,
      red: backlog,
      figure: `${shown(behindBytes, "bytes")} behind`,
      advice:
        "A failover now would lose so much: a quicker network or replica; above repl-backlog-size (the red bound) a reconnect copies everything",
    }),
    graded({
      check: "replica heard",
      where,
      value: silentS,
      unit: "s",
      ...SILENT_S,
      figure: `${shown(silentS, "s")} ago`,
      advice: "It reports each second: the network between them, or the replica, stands still",
    }),
  ];
}

/** Replicas may stand where only their master reaches them: that is said, and no fault of theirs. */
async function clockFindings(
  servers: RedisServers,
  { where }: ReplicaFacts,
  master: ClockOffset,
): Promise<Finding[]> {
  const address = parseAddress(where, 0);
  const found: Finding[] = [];
  const replica = address === undefined ? undefined : await servers.open(address, found);
  if (replica === undefined)
    return [
      {
        check: "clock of the replica",
        where,
        colour: "yellow",
        figure: "not reachable from here",
        bound: "within 100 ms of its master",
        advice: `${found[0]?.advice ?? "It has no address"}. Run this command where the replica can be reached, or compare the clocks yourself`,
      },
    ];
  return [replicaClockFinding(where, master, await clockOffset(servers, replica))];
}
