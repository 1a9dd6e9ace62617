import type { Diagnosis, Look } from "./diagnosis.ts";
import { examineFolder, type FolderTarget } from "./folder-doctor.ts";
import { examineServer, type ServerTarget } from "./http-doctor.ts";
import { examineRedis, type RedisTarget } from "./redis-doctor.ts";

/** What is looked at. */
export type Target =
  | ({ readonly kind: "server" } & ServerTarget)
  | ({ readonly kind: "redis" } & RedisTarget)
  | ({ readonly kind: "folder" } & FolderTarget);

/**
 * Takes one look at a server, a Redis or a folder, which takes a little longer than `look.forMs`. What is wrong with
 * the place is a line of the diagnosis, also when it cannot be reached at all.
 * @throws {InvalidRequestError} when the target itself is wrong.
 */
export function examine(target: Target, look: Look): Promise<Diagnosis> {
  if (target.kind === "server") return examineServer(target, look);
  return target.kind === "redis" ? examineRedis(target, look) : examineFolder(target, look);
}
