import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Names of the server's program, in the order of preference. Valkey takes the same arguments. */
const NAMES = ["redis-server", "valkey-server"];

/** The path of a Redis (or Valkey) server; throws when none is installed. */
export function redisProgram(): string {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = paths.find(isExecutable);
  if (found === undefined)
    throw new Error(
      "These tests start redis-server or valkey-server, and neither is on PATH: npm test says how to get one",
    );
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
