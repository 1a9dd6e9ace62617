import { InternalError, StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection } from "./connection.ts";
import { refusal } from "./refusal.ts";
import { ReplyError } from "./reply-parser.ts";
import type { Script } from "./script.ts";

/** Sees to it that a server knows the scripts: one round trip when it does, two when it does not. */
export async function loadScripts(connection: Connection, scripts: readonly Script[]): Promise<void> {
  if (scripts.length === 0) return;
  try {
    const known = await connection.ask("SCRIPT", ["EXISTS", ...scripts.map(({ sha }) => sha)]);
    const missing = scripts.filter((_, at) => Array.isArray(known) && known[at] !== 1);
    await Promise.all(missing.map((script) => load(connection, script)));
  } catch (error) {
    throw error instanceof ReplyError ? refusal(error, "SCRIPT LOAD") : error;
  }
}

/** Loaded by SCRIPT LOAD and never by EVAL: Redis 7.4 and later forget those of EVAL when they are many. */
async function load(connection: Connection, { name, source, sha }: Script): Promise<void> {
  const got = await connection.ask("SCRIPT", ["LOAD", source]);
  if (got !== sha) throw new InternalError(`Redis knows the script ${name} as ${got}, not as ${sha}`);
}

/** Loads scripts again that a server has forgotten, each once however many calls miss it at a time. */
export class ScriptReloads {
  readonly #underWay = new WeakMap<Connection, Map<string, Promise<void>>>();

  async reload(connection: Connection, script: Script): Promise<void> {
    if (!connection.isOpen) throw new StorageUnavailableError("Lost the connection to Redis");
    const loads = this.#underWay.get(connection) ?? new Map<string, Promise<void>>();
    this.#underWay.set(connection, loads);
    const under = loads.get(script.sha);
    if (under !== undefined) return under;
    const fresh = load(connection, script).finally(() => loads.delete(script.sha));
    loads.set(script.sha, fresh);
    return fresh;
  }
}
