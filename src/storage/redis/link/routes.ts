import type { Call } from "./call.ts";
import type { Connection } from "./connection.ts";
import type { KeptConnection } from "./kept-connection.ts";
import type { ReplyError } from "./reply-parser.ts";

/** The connections of a link, and which of them a key belongs to. */
export interface Routes {
  readonly isCluster: boolean;
  /** Opens all of them, each ready for use; rejects when one cannot be opened, and may then be tried again. */
  open(): Promise<void>;
  /**
   * The same key and lane give the same connection, for as long as all stand; lanes of a key give different ones, as far
   * as there are. Undefined: nobody has the key.
   */
  of(key: string, lane?: number): KeptConnection | undefined;
  all(): Iterable<KeptConnection>;
  /** Opens a further connection, to any server that hears everything that is published. */
  dialSubscriber(): Promise<Connection>;
  /** Sends a call on to where Redis says it belongs; false when this is no such error. */
  redirect(call: Call, error: ReplyError, by: Connection): boolean;
  close(reason: string): void;
}

/** The connection of that number or, while it is away, another one that stands: order matters less than an answer then. */
export function standing(pool: readonly KeptConnection[], number: number): KeptConnection {
  const home = pool[number % pool.length] as KeptConnection;
  if (home.current !== undefined) return home;
  return pool.find((kept) => kept.current !== undefined) ?? home;
}

/** FNV-1a (RFC 9923). */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
