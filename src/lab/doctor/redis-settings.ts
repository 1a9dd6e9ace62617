import {
  type Concern,
  concernsOf,
  type ServerFacts,
  survivalOf,
  versionFault,
} from "../../storage/redis/link/checks.ts";
import { type Colour, type Finding, graded, judged, shown } from "./finding.ts";

/** How a Redis is set up and how it fares, by the checks of a start and its INFO. */
export function settingsFindings(facts: ServerFacts): Finding[] {
  return [
    versionFinding(facts),
    evictionFinding(facts),
    persistenceFinding(facts),
    ...savingFindings(facts),
    memoryFinding(facts),
    ...clientsFindings(facts),
    ...concernFindings(facts),
  ];
}

function versionFinding(facts: ServerFacts): Finding {
  const { where, info } = facts;
  const fault = versionFault(facts);
  const valkey = info["valkey_version"];
  return judged(fault === undefined ? "green" : "red", {
    check: "version",
    where,
    figure: valkey === undefined ? (info["redis_version"] ?? "not told") : `Valkey ${valkey}`,
    bound: "Redis 7.0 or later, or Valkey",
    advice: fault ?? "",
  });
}

/** Policies that throw away only keys with a time to live spare tasks, which have none. */
function evictionFinding(facts: ServerFacts): Finding {
  const { where, info, config } = facts;
  const policy = config?.["maxmemory-policy"] ?? info["maxmemory_policy"];
  const concern = about("eviction", facts);
  const maxBytes = Number(info["maxmemory"] ?? 0);
  const losesTasks = policy?.startsWith("allkeys-") === true && maxBytes > 0;
  const line = { check: "eviction", where, bound: "noeviction" };
  if (policy === undefined)
    return {
      ...line,
      figure: "not told",
      colour: "yellow",
      advice: about("settings", facts) ?? "See maxmemory-policy",
    };
  return judged(concern === undefined ? "green" : losesTasks ? "red" : "yellow", {
    ...line,
    figure: `${policy}, ${maxBytes === 0 ? "no maxmemory" : `at ${shown(maxBytes, "bytes")}`}`,
    advice: concern ?? "",
  });
}

function persistenceFinding(facts: ServerFacts): Finding {
  const { where, info, config } = facts;
  const concern = about("persistence", facts);
  const appends = config?.["appendonly"] === "yes" || info["aof_enabled"] === "1";
  const keepsNothing = config !== undefined && !appends && config["save"] === "";
  const isUnknown = config === undefined && !appends;
  const advice = concern ?? about("settings", facts) ?? "";
  const colour: Colour = keepsNothing ? "red" : concern !== undefined || isUnknown ? "yellow" : "green";
  return judged(colour, {
    check: "persistence",
    where,
    figure: survivalOf(facts),
    bound: "an append-only file, appendfsync everysec or always",
    advice,
  });
}

/** Whether it can write what it is set to write, and how long a fork for that holds it up. */
function savingFindings({ where, info }: ServerFacts): Finding[] {
  const failed = ["rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status"].filter(
    (name) => (info[name] ?? "ok") !== "ok",
  );
  const findings = [
    judged(failed.length > 0 ? "red" : "green", {
      check: "saving to disk",
      where,
      figure: failed.length > 0 ? `failed: ${failed.join(", ")}` : "the last tries went well",
      bound: "no failure",
      advice:
        "See the log of Redis and the room on its disk: it may refuse all writes until it can save again",
    }),
  ];
  const forkMs = Number(info["latest_fork_usec"] ?? 0) / 1_000;
  if (forkMs > 0)
    findings.push(
      graded({
        check: "last fork",
        where,
        value: forkMs,
        unit: "ms",
        yellow: 50,
        red: 500,
        advice:
          "Each save stops Redis for so long, and every claim with it: fewer saves, less data in one server, transparent huge pages off",
      }),
    );
  return findings;
}

function memoryFinding({ where, info }: ServerFacts): Finding {
  const used = Number(info["used_memory"] ?? 0);
  const maximum = Number(info["maxmemory"] ?? 0);
  const machine = Number(info["total_system_memory"] ?? 0);
  const most = maximum > 0 ? maximum : machine;
  const percent = most === 0 ? 0 : (100 * used) / most;
  return graded({
    check: "memory",
    where,
    value: percent,
    unit: "%",
    yellow: 75,
    red: 90,
    figure: `${shown(used, "bytes")} of ${shown(most, "bytes")} (${maximum > 0 ? "maxmemory" : "of the machine, no maxmemory"})`,
    advice:
      "When it is full, enqueues are refused: more memory, or a retention that keeps less (dibs queues set --completed-max, --bytes-max)",
  });
}

function clientsFindings({ where, info }: ServerFacts): Finding[] {
  const most = Number(info["maxclients"] ?? 0);
  if (most === 0) return [];
  const clients = Number(info["connected_clients"] ?? 0);
  return [
    graded({
      check: "clients",
      where,
      value: (100 * clients) / most,
      unit: "%",
      yellow: 75,
      red: 95,
      figure: `${clients.toLocaleString("en-US")} of ${most.toLocaleString("en-US")} (maxclients)`,
      advice:
        "Further processes will not be let in: raise maxclients, or give each fewer --redis-connections",
    }),
  ];
}

/** What the start would warn of beyond the lines above. */
function concernFindings(facts: ServerFacts): Finding[] {
  const { where, config } = facts;
  const scripts = about("scripts", facts);
  const settings = about("settings", facts);
  const threshold = config?.["busy-reply-threshold"] ?? config?.["lua-time-limit"];
  return [
    ...(scripts === undefined
      ? []
      : [
          {
            check: "stuck scripts",
            where,
            colour: "yellow",
            figure: `called stuck after ${threshold} ms`,
            bound: "100 to 10,000 ms",
            advice: scripts,
          } as const,
        ]),
    ...(settings === undefined
      ? []
      : [
          {
            check: "settings",
            where,
            colour: "yellow",
            figure: "not readable for this user",
            bound: "CONFIG GET allowed (+config|get)",
            advice: settings,
          } as const,
        ]),
  ];
}

function about(subject: Concern["about"], facts: ServerFacts): string | undefined {
  return concernsOf(facts).find((concern) => concern.about === subject)?.text;
}

/** What INFO counts and must not count up while it is looked at. */
export function delayedFlushFinding(before: ServerFacts, after: ServerFacts): Finding | undefined {
  const counted = ({ info }: ServerFacts) => Number(info["aof_delayed_fsync"] ?? Number.NaN);
  const value = counted(after) - counted(before);
  if (Number.isNaN(value)) return undefined;
  return judged(value > 0 ? "yellow" : "green", {
    check: "waiting for its disk",
    where: after.where,
    figure: value === 0 ? "never, meanwhile" : `${value} times meanwhile`,
    bound: "never (aof_delayed_fsync)",
    advice:
      "Its disk is too slow for its append-only file, and every claim waits with it: a faster disk, or one of its own",
  });
}
