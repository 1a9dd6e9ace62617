import { createHash } from "node:crypto";
import type { Script } from "../../src/storage/redis/link/script.ts";

export function aScript(source: string, name = "test"): Script {
  return { name, source, sha: createHash("sha1").update(source).digest("hex") };
}

/** Appends ARGV[1] to the list KEYS[1] and says how long it is: what was executed can be read there. */
export const NOTE = aScript('#!lua\nreturn redis.call("RPUSH", KEYS[1], ARGV[1])', "note");
