import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { LIMITS } from "../../task/limits.ts";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import type { Script } from "./link/script.ts";
import { backoffText } from "./record.ts";

/** The version of what is stored. A store of a later one is refused. */
export const FORMAT = 1;

/** What a script writes as `{{name}}`: limits and defaults have one home. */
const CONSTANTS: Readonly<Record<string, string | number>> = {
  ...LIMITS,
  ...DEFAULT_QUEUE_CONFIG.retention,
  maxAttempts: DEFAULT_QUEUE_CONFIG.maxAttempts,
  leaseMs: DEFAULT_QUEUE_CONFIG.leaseMs,
  backoff: backoffText(DEFAULT_QUEUE_CONFIG.backoff),
  format: FORMAT,
};

const INCLUDE = /^ *--#include (\w+)\n/gm;
const CONSTANT = /\{\{(\w+)\}\}/g;
/** At maxmemory work drains: only what adds tasks is refused. */
const DRAINS = "#!lua flags=allow-oom\n";

export const SCRIPTS = {
  enqueue: script("enqueue", "#!lua\n"),
  claim: script("claim", DRAINS),
  settle: script("settle", DRAINS),
  heartbeat: script("heartbeat", DRAINS),
  promote: script("promote", DRAINS),
  reap: script("reap", DRAINS),
  prune: script("prune", DRAINS),
  purge: script("purge", DRAINS),
  move: script("move", DRAINS),
  get: script("get", DRAINS),
  list: script("list", DRAINS),
  configure: script("configure", DRAINS),
  import: script("import", "#!lua\n"),
  wake: script("wake", DRAINS),
  await: script("await", DRAINS),
} as const;

function script(name: string, shebang: string): Script {
  const source =
    shebang + withoutComments(read(name)).replaceAll(CONSTANT, (_, constant) => constantNamed(constant));
  return { name, source, sha: createHash("sha1").update(source).digest("hex") };
}

function read(name: string): string {
  const text = readFileSync(new URL(`scripts/${name}.lua`, import.meta.url), "utf8");
  return text.replaceAll(INCLUDE, (_, part) => read(`lib/${part}`));
}

function withoutComments(text: string): string {
  return text.replaceAll(/^\s*--.*\n/gm, "");
}

function constantNamed(constant: string): string {
  const value = CONSTANTS[constant];
  if (value === undefined) throw new Error(`Unknown constant ${constant} in a script`);
  return String(value);
}
