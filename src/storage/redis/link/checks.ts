import { StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection } from "./connection.ts";
import { infoOf } from "./info.ts";
import { ReplyError } from "./reply-parser.ts";

export interface CheckOptions {
  /** Makes every warning an error. */
  readonly strict: boolean;
  readonly onWarning: (text: string) => void;
  /** Told what an acknowledged call survives there, in a few words. */
  readonly onSurvival?: (text: string) => void;
}

/** What was read of a server: fields of INFO, and of CONFIG GET where that is allowed. */
export interface ServerFacts {
  readonly where: string;
  readonly info: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, string>> | undefined;
}

const SETTINGS = [
  "maxmemory-policy",
  "appendonly",
  "appendfsync",
  "save",
  "busy-reply-threshold", // Of Redis 7; lua-time-limit is its old name and still an alias.
  "lua-time-limit",
];

/** A script of ours takes a few milliseconds: this tells a slow one from a stuck one, and heals before a lease ends. */
const BUSY_MS = { least: 100, most: 10_000 } as const;

/**
 * Checks a server at the start.
 * @throws StorageUnavailableError when it is too old, or with `strict` when there is anything to warn of.
 */
export async function checkServer(
  connection: Connection,
  { strict, onWarning, onSurvival }: CheckOptions,
): Promise<void> {
  const facts = await readFacts(connection);
  const fault = versionFault(facts);
  if (fault !== undefined) throw new StorageUnavailableError(fault, { details: { applied: "no" } });
  const warnings = warningsOf(facts);
  if (strict && warnings.length > 0)
    throw new StorageUnavailableError(warnings.join(". "), { details: { applied: "no" } });
  for (const warning of warnings) onWarning(warning);
  onSurvival?.(survivalOf(facts));
}

/** Reads what the checks need; whatever the user may not read is left out. */
export async function readFacts(connection: Connection): Promise<ServerFacts> {
  const refused = (error: unknown) => {
    if (error instanceof ReplyError) return undefined; // Renamed, or not allowed by the ACL: common on hosted ones.
    throw error;
  };
  const [info, config] = await Promise.all([
    connection.ask("INFO", []).catch(refused),
    connection.ask("CONFIG", ["GET", ...SETTINGS]).catch(refused),
  ]);
  return {
    where: connection.where,
    info: { redis_version: connection.greeting.version, ...infoOf(info ?? "") },
    config: Array.isArray(config) ? pairs(config.map(String)) : undefined,
  };
}

/** Why the version will not do; undefined when it does. Valkey began at 7.2 and says so as a Redis. */
export function versionFault({ where, info }: ServerFacts): string | undefined {
  const version = info["valkey_version"] ?? info["redis_version"] ?? "";
  const [major = Number.NaN] = version.split(".").map(Number);
  if (major >= 7) return undefined;
  const found = version === "" ? "does not tell its version" : `is Redis ${version}`;
  return `The Redis at ${where} ${found}; Dibs needs Redis 7.0 or later, or Valkey: upgrade it`;
}

/** Something to know of how a server is set up: what it is about, and a sentence that says what to do. */
export interface Concern {
  readonly about: "eviction" | "persistence" | "settings" | "scripts";
  readonly text: string;
}

/** What an operator should know of how a server is set up; each sentence says what to do. */
export function warningsOf(facts: ServerFacts): string[] {
  return concernsOf(facts).map(({ text }) => text);
}

export function concernsOf({ where, info, config }: ServerFacts): Concern[] {
  const at = `The Redis at ${where}`;
  const policy = config?.["maxmemory-policy"] ?? info["maxmemory_policy"];
  const concerns: Concern[] = [];
  if (policy !== undefined && policy !== "noeviction")
    concerns.push({
      about: "eviction",
      text: `${at} throws keys away when its memory is full (maxmemory-policy ${policy}), and with them tasks: set it to noeviction`,
    });
  for (const text of persistenceWarnings(at, info, config)) concerns.push({ about: "persistence", text });
  if (config === undefined) {
    concerns.push({
      about: "settings",
      text: `${at} does not let us read its settings (CONFIG GET): see for yourself that maxmemory-policy is noeviction and that appendonly is yes`,
    });
    return concerns;
  }
  const busy = config["busy-reply-threshold"] ?? config["lua-time-limit"];
  const busyMs = Number(busy);
  if (busy !== undefined && (busyMs < BUSY_MS.least || busyMs > BUSY_MS.most))
    concerns.push({
      about: "scripts",
      text: `${at} calls a script stuck after ${busyMs} ms (busy-reply-threshold): set it from ${BUSY_MS.least} to ${BUSY_MS.most}, 5000 is usual`,
    });
  return concerns;
}

/** What survives the end of a server, by its persistence; that of a machine, where the two differ. */
export function survivalOf({ info, config }: ServerFacts): string {
  const appends = config?.["appendonly"] === "yes" || info["aof_enabled"] === "1";
  if (!appends) {
    if (config === undefined) return "how durable they are is Redis's to say";
    return config["save"] === ""
      ? "nothing survives a restart of Redis"
      : "Redis keeps only snapshots of them";
  }
  const whens: Readonly<Record<string, string>> = {
    always: "all survives a power cut",
    everysec: "a power cut costs a second or two",
    no: "a power cut costs up to half a minute",
  };
  return whens[config?.["appendfsync"] ?? ""] ?? "Redis keeps an append-only file of them";
}

function persistenceWarnings(
  at: string,
  info: ServerFacts["info"],
  config: ServerFacts["config"],
): readonly string[] {
  const appends = config?.["appendonly"] === "yes" || info["aof_enabled"] === "1";
  if (appends)
    return config?.["appendfsync"] === "no"
      ? [
          `${at} leaves it to the system when its append-only file reaches the disk (appendfsync no): a power failure loses up to half a minute of tasks; set it to everysec or always`,
        ]
      : [];
  if (config === undefined) return [];
  return config["save"] === ""
    ? [`${at} keeps nothing on disk: a restart loses every task; set appendonly to yes`]
    : [
        `${at} keeps only snapshots on disk (save ${config["save"]}): a restart loses the tasks of the last minutes; set appendonly to yes`,
      ];
}

function pairs(list: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = 0; at + 1 < list.length; at += 2) fields[list[at] as string] = list[at + 1] as string;
  return fields;
}
