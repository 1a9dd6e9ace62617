import { createHash } from "node:crypto";
import { QUEUE } from "./engine.ts";

const source = "#!lua flags=allow-oom\nreturn 1\n";

/** A script that does nothing: what a round trip through our own link costs at least. */
export const NOOP = { name: "noop", source, sha: createHash("sha1").update(source).digest("hex") };
export const NOOP_KEY = `noop:{${QUEUE}}`;
