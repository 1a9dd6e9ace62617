import { readFileSync } from "node:fs";
import stripJsonComments from "strip-json-comments";
import {
  autoOrWholeNumber,
  ConfigError,
  type Durability,
  type Given,
  oneOf,
  type Reader,
  readBoolean,
  readHost,
  readPath,
  readPrefix,
  readStore,
  readToken,
  readTokens,
  readUrl,
  refused,
  type StoreChoice,
  wholeNumber,
} from "./config-values.ts";
import { LIMITS } from "./task/limits.ts";

/**
 * The only reader of the environment and of the config file. A setting has one name in three spellings:
 * `payloadBytesMax` in the file, `DIBS_PAYLOAD_BYTES_MAX` in the environment, `--payload-bytes-max` as a flag.
 * A flag beats the environment, the environment beats the file, the file beats the default.
 */
export interface Config {
  readonly store: StoreChoice;
  /** Of the embedded store; that of Redis is Redis's own. */
  readonly durability: Durability;
  /** What the keys of a store in Redis begin with. */
  readonly prefix: string;
  /** Connections for commands to each Redis. */
  readonly redisConnections: number;
  /** Paths of PEM files, for a Redis behind TLS. */
  readonly redisTlsCa: string | undefined;
  readonly redisTlsCert: string | undefined;
  readonly redisTlsKey: string | undefined;
  /** Makes errors of the warnings that a Redis gives reason for at the start. */
  readonly strict: boolean;
  /** Whether tasks that are read by id may be kept for a moment, while that pays; Redis only. */
  readonly cache: "auto" | "off";
  readonly cacheTtlMs: number;
  /** Processes that serve one port together; Redis only. */
  readonly processes: number;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Empty: no authentication. */
  readonly tokens: readonly string[];
  /** Listen beyond loopback without authentication. */
  readonly insecure: boolean;
  readonly logLevel: LogLevel;
  readonly payloadBytesMax: number;
  /** Bound on the tasks that the embedded store keeps in memory, over all queues and states. */
  readonly tasksMax: number;
  /** Bound on what its tasks and idempotency keys take of memory; `auto` goes by the heap of the process. */
  readonly memoryBytesMax: number | "auto";
  /** The server that the client commands talk to. */
  readonly url: string;
  readonly token: string | undefined;
}

export type LogLevel = (typeof LOG_LEVELS)[number];
export type SettingName = keyof Config;
/** By setting name, as the command line gave them; `config` is the path of the file. Other names are ignored. */
export type FlagValues = { readonly [Name in SettingName | "config"]?: unknown };
export type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

interface Setting<T> {
  readonly read: Reader<T>;
  readonly fallback: T;
}

const SETTINGS: { readonly [Name in SettingName]: Setting<Config[Name]> } = {
  store: { read: readStore, fallback: Object.freeze({ kind: "folder", folder: "./data" }) },
  durability: { read: oneOf(["process", "power", "none"]), fallback: "process" },
  prefix: { read: readPrefix, fallback: "dibs" },
  redisConnections: { read: wholeNumber(1, 16), fallback: 2 },
  redisTlsCa: { read: readPath, fallback: undefined },
  redisTlsCert: { read: readPath, fallback: undefined },
  redisTlsKey: { read: readPath, fallback: undefined },
  strict: { read: readBoolean, fallback: false },
  cache: { read: oneOf(["auto", "off"]), fallback: "auto" },
  cacheTtlMs: { read: wholeNumber(1, 60_000), fallback: 1_000 },
  processes: { read: wholeNumber(1, 64), fallback: 1 },
  host: { read: readHost, fallback: "127.0.0.1" },
  port: { read: wholeNumber(0, 65_535), fallback: 4510 },
  tokens: { read: readTokens, fallback: [] },
  insecure: { read: readBoolean, fallback: false },
  logLevel: { read: oneOf(LOG_LEVELS), fallback: "info" },
  payloadBytesMax: { read: wholeNumber(1, LIMITS.bodyBytesMax), fallback: LIMITS.payloadBytesMax },
  tasksMax: { read: wholeNumber(1, 100_000_000), fallback: 10_000_000 },
  memoryBytesMax: { read: autoOrWholeNumber(2 ** 20, 2 ** 40), fallback: "auto" },
  url: { read: readUrl, fallback: "http://127.0.0.1:4510" },
  token: { read: readToken, fallback: undefined },
};

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** The variable of a setting: `payloadBytesMax` is `DIBS_PAYLOAD_BYTES_MAX`. */
export function variableOf(setting: string): string {
  return `DIBS_${setting.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** The flag of a setting: `payloadBytesMax` is `--payload-bytes-max`. */
export function flagOf(setting: string): string {
  return `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

const BY_VARIABLE = new Map(SETTING_NAMES.map((name) => [variableOf(name), name]));
const CONFIG_VARIABLE = "DIBS_CONFIG";
/** A flag of these beside another store is a mistake; a variable may be meant for other commands. */
const OF_REDIS: readonly SettingName[] = [
  "prefix",
  "redisConnections",
  "redisTlsCa",
  "redisTlsCert",
  "redisTlsKey",
  "strict",
  "cache",
  "cacheTtlMs",
];
/** What `dibs work --exec` tells its command, which may well be dibs again. */
const OF_A_TASK = new Set(["DIBS_TASK_ID", "DIBS_ATTEMPT", "DIBS_FENCE", "DIBS_QUEUE"]);
/** Settings of the project's own tests and benchmarks, which may start a server with their whole environment. */
const OF_TESTS = /^DIBS_(TEST|CRASH|DISK|MODEL|MUTATIONS|BENCH)(_|$)/;
/**
 * What Kubernetes puts into every pod for a Service `dibs`, and for others whose name begins so (`dibs-redis`).
 * Source: Kubernetes documentation, "Service", section "Environment variables".
 */
const OF_KUBERNETES =
  /^DIBS_((SERVICE|PORT)_|[A-Z0-9_]+_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)$)/;
const OF_KUBERNETES_VALUE = /^(tcp|udp|sctp):\/\//;
const PORT_LIKE = /^DIBS_([A-Z0-9_]+_)?PORT$/;

export interface ConfigSources {
  readonly flags?: FlagValues;
  readonly env?: Environment;
}

export interface ReadConfig {
  readonly config: Config;
  /** Sentences for the operator about what was ignored. */
  readonly warnings: readonly string[];
}

/**
 * Reads all settings and checks every one, whichever the command needs: a typing mistake is found where it
 * was made and not on the day that another command runs.
 *
 * @throws {ConfigError} for an unknown name, a value out of bounds, or two that contradict each other.
 */
export function readConfig(sources: ConfigSources = {}): ReadConfig {
  const flags = sources.flags ?? {};
  const { given: fromEnvironment, file, ignored } = readEnvironment(sources.env ?? process.env);
  const path = typeof flags.config === "string" ? flags.config : file;
  const given = new Map<SettingName, Given>([
    ...(path === undefined ? [] : readFile(path)),
    ...fromEnvironment,
    ...readFlags(flags),
  ]);
  const config = resolve(given);
  refuseFlagsOfRedis(config.store, flags);
  const warnings =
    ignored.length === 0
      ? []
      : [
          `Ignored ${ignored.join(", ")}: Kubernetes sets such variables for a Service; they are no settings of dibs.`,
        ];
  return { config, warnings };
}

/** What the settings say of TLS, by the names of Node; undefined when they say nothing. */
export function tlsOf(config: Config): { ca?: string; cert?: string; key?: string } | undefined {
  const { redisTlsCa: ca, redisTlsCert: cert, redisTlsKey: key } = config;
  const tls = {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
  return Object.keys(tls).length === 0 ? undefined : tls;
}

/** The bound on memory as the embedded engine's option: left out, it finds one. */
export function memoryBoundOf({ memoryBytesMax }: Config): { memoryBytesMax?: number } {
  return memoryBytesMax === "auto" ? {} : { memoryBytesMax };
}

/** The environment for a command run for a task: this process's own, and `extra`. */
export function childEnvironment(extra: Environment): Environment {
  return { ...process.env, ...extra };
}

function resolve(given: ReadonlyMap<SettingName, Given>): Config {
  const read = <Name extends SettingName>(name: Name): Config[Name] => {
    const found = given.get(name);
    return found === undefined ? SETTINGS[name].fallback : SETTINGS[name].read(found, name);
  };
  const store = read("store");
  const config: Config = {
    store,
    durability: durabilityOf(store, given.get("durability"), read("durability")),
    prefix: read("prefix"),
    redisConnections: read("redisConnections"),
    redisTlsCa: read("redisTlsCa"),
    redisTlsCert: read("redisTlsCert"),
    redisTlsKey: read("redisTlsKey"),
    strict: read("strict"),
    cache: read("cache"),
    cacheTtlMs: read("cacheTtlMs"),
    processes: processesOf(store, given.get("processes"), read("processes")),
    host: read("host"),
    port: read("port"),
    tokens: Object.freeze(read("tokens")),
    insecure: read("insecure"),
    logLevel: read("logLevel"),
    payloadBytesMax: read("payloadBytesMax"),
    tasksMax: read("tasksMax"),
    memoryBytesMax: read("memoryBytesMax"),
    url: read("url"),
    token: read("token"),
  };
  return Object.freeze(config);
}

function durabilityOf(store: StoreChoice, given: Given | undefined, durability: Durability): Durability {
  if (store.kind === "folder" || given === undefined) return store.kind === "memory" ? "none" : durability;
  if (store.kind === "redis") {
    const bound = "left out: with a Redis store durability is Redis's own (its appendonly and appendfsync)";
    throw refused(given, "durability", bound, durability);
  }
  if (durability === "none") return durability;
  throw refused(given, "durability", "none while the store is memory:, which has no disk", durability);
}

function processesOf(store: StoreChoice, given: Given | undefined, processes: number): number {
  if (processes === 1 || given === undefined || store.kind === "redis") return processes;
  const bound = `1 while the store is ${store.kind === "folder" ? "a folder, which one process opens" : "memory:"}; several processes share a redis:// store`;
  throw refused(given, "processes", bound, processes);
}

function refuseFlagsOfRedis(store: StoreChoice, flags: FlagValues): void {
  const name = store.kind === "redis" ? undefined : OF_REDIS.find((each) => flags[each] !== undefined);
  if (name === undefined) return;
  const bound = "left out: it is for a redis:// store";
  throw refused({ value: flags[name], name: flagOf(name) }, name, bound);
}

function readEnvironment(env: Environment) {
  const given: [SettingName, Given][] = [];
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith("DIBS_")) continue;
    if (name === CONFIG_VARIABLE || OF_A_TASK.has(name) || OF_TESTS.test(name)) continue;
    if (isOfKubernetes(name, value)) ignored.push(name);
    else given.push([settingOfVariable(name), { value, name }]);
  }
  return { given, ignored: ignored.sort(), file: env[CONFIG_VARIABLE] };
}

function isOfKubernetes(name: string, value: string): boolean {
  return OF_KUBERNETES.test(name) || (PORT_LIKE.test(name) && OF_KUBERNETES_VALUE.test(value));
}

function settingOfVariable(name: string): SettingName {
  const setting = BY_VARIABLE.get(name);
  if (setting !== undefined) return setting;
  throw unknown("variable", name, [...BY_VARIABLE.keys(), CONFIG_VARIABLE]);
}

function readFlags(flags: FlagValues): [SettingName, Given][] {
  return SETTING_NAMES.filter((name) => flags[name] !== undefined).map((name) => [
    name,
    { value: flags[name], name: flagOf(name) },
  ]);
}

function readFile(path: string): [SettingName, Given][] {
  return Object.entries(parseFile(path)).map(([key, value]) => {
    if (!(SETTING_NAMES as readonly string[]).includes(key))
      throw unknown(`key in ${path}`, key, SETTING_NAMES);
    return [key as SettingName, { value, name: `${key} in ${path}` }];
  });
}

/** JSON that may have comments and trailing commas. */
function parseFile(path: string): object {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ConfigError(`Cannot read the config file ${path}: ${(cause as Error).message}`, {
      cause,
      details: { field: "config", bound: "a file that can be read", value: path },
    });
  }
  const wrong = (why: string, cause?: unknown) =>
    new ConfigError(`Expected the config file ${path} to be a JSON object of settings: ${why}`, {
      cause,
      details: { field: "config", bound: "a JSON object", value: path },
    });
  let value: unknown;
  try {
    value = JSON.parse(stripJsonComments(text, { trailingCommas: true }));
  } catch (cause) {
    throw wrong((cause as Error).message, cause);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw wrong(`it holds ${Array.isArray(value) ? "an array" : typeof value}`);
}

function unknown(kind: string, name: string, known: readonly string[]): ConfigError {
  const nearest = known.reduce((best, each) => (distance(name, each) < distance(name, best) ? each : best));
  return new ConfigError(`Unknown ${kind}: ${name}. Did you mean ${nearest}?`, {
    details: { field: name, bound: `one of ${known.join(", ")}` },
  });
}

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
