import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { memoryBoundOf, tlsOf } from "../config.ts";
import type { MoveEnd } from "../move/move-end.ts";
import { isRedisUrl, parseRedisUrl } from "../storage/redis/link/redis-url.ts";
import { UsageError } from "./exit.ts";
import type { Session } from "./session.ts";

/** One end of a move as the command line names it. */
export interface PlaceWish {
  /** A folder, or the address of a Redis. */
  readonly text: string;
  /** Of the keys in a Redis. */
  readonly prefix: string;
}

const DEFAULT_PREFIX = "dibs";

/** The name of an end, before it is opened: what stands in marks and messages, without secrets. */
export async function nameOf({ text, prefix }: PlaceWish): Promise<string> {
  if (!isRedisUrl(text)) {
    const folder = folderOf(text);
    return existsSync(folder) ? realpathSync(folder) : folder;
  }
  const { shown } = parseRedisUrl(text);
  return prefix === DEFAULT_PREFIX ? shown : `${shown} (prefix ${prefix})`;
}

/** Opens the store that is moved. A mistyped folder is told, not made. */
export async function openSource(session: Session, wish: PlaceWish): Promise<MoveEnd> {
  if (isRedisUrl(wish.text)) return openRedis(session, wish);
  const folder = folderOf(wish.text);
  if (!existsSync(folder)) throw new UsageError(`There is no store at ${folder}`);
  return openFolder(session, folder, "process");
}

/** Opens the store that is moved to; a folder may be new. What lies there has survived a power cut when it is audited. */
export async function openTarget(session: Session, wish: PlaceWish): Promise<MoveEnd> {
  return isRedisUrl(wish.text) ? openRedis(session, wish) : openFolder(session, folderOf(wish.text), "power");
}

function folderOf(text: string): string {
  if (/^file:/i.test(text)) return fileURLToPath(text);
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === "memory") throw new UsageError("memory: ends with its process: there is nothing to move");
  if (scheme === "http" || scheme === "https") {
    throw new UsageError(
      "A move works on the store itself: stop the server, and name the folder or the Redis that it serves (its --store)",
    );
  }
  // The rest of such an address may hold a password, so only its scheme is shown.
  if (scheme !== undefined) throw new UsageError(`Expected a folder or a redis:// address, got ${scheme}:…`);
  return resolve(text);
}

async function openFolder(
  { config, output }: Session,
  folder: string,
  durability: "process" | "power",
): Promise<MoveEnd> {
  const { EmbeddedStorage } = await import("../storage/embedded/embedded-storage.ts");
  const storage = await EmbeddedStorage.open({
    folder,
    durability,
    tasksMax: config.tasksMax,
    ...memoryBoundOf(config),
    midMove: true,
    onWait: (reason) => output.note(reason),
    onProgress: (done, total) =>
      output.progress(`Reading ${folder}: ${Math.floor((100 * done) / Math.max(1, total))} %`),
    onCut: (cut) => output.warn(cut),
    onTrouble: (error) => output.warn(error.message),
  });
  return { name: realpathSync(folder), storage };
}

async function openRedis({ config, output }: Session, wish: PlaceWish): Promise<MoveEnd> {
  const { RedisStorage } = await import("../storage/redis/redis-storage.ts");
  const { text: url, prefix } = wish;
  const onWarning = (warning: string) => output.warn(warning);
  const tls = tlsOf(config);
  const storage = await RedisStorage.open({
    url,
    prefix,
    midMove: true,
    onWarning,
    ...(tls !== undefined && { tls }),
  });
  return { name: await nameOf(wish), storage };
}
