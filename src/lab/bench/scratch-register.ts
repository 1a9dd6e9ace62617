import { hostname } from "node:os";
import type { RedisLink } from "../../storage/redis/link/link.ts";

/** Who made a scratch store, so that another bench can see that nobody will remove it any more. */
interface Maker {
  readonly host: string;
  readonly pid: number;
}

/**
 * The scratch stores of a Redis, by prefix, each with its maker. A bench that was killed cannot remove its keys; the
 * next one of the same machine finds them here and does.
 */
export class ScratchRegister {
  readonly #link: RedisLink;
  readonly #key: string;

  /** `key` is a HASH of prefixes. */
  constructor(link: RedisLink, key: string) {
    this.#link = link;
    this.#key = key;
  }

  async enter(prefix: string): Promise<void> {
    const maker: Maker = { host: hostname(), pid: process.pid };
    await this.#link.command("HSET", this.#key, prefix, JSON.stringify(maker));
  }

  async leave(prefix: string): Promise<void> {
    await this.#link.command("HDEL", this.#key, prefix);
  }

  /** Prefixes whose makers ended on this machine without leaving. */
  async abandoned(): Promise<readonly string[]> {
    const entries = pairsOf(await this.#link.command("HGETALL", this.#key));
    return entries.filter(([, maker]) => hasEnded(JSON.parse(maker) as Maker)).map(([prefix]) => prefix);
  }
}

function hasEnded({ host, pid }: Maker): boolean {
  if (host !== hostname()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // EPERM: it runs, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** A map comes as a flat list of fields and values. */
function pairsOf(reply: unknown): readonly (readonly [string, string])[] {
  const flat = reply as readonly string[];
  return flat.flatMap((field, at) => (at % 2 === 0 ? [[field, flat[at + 1] as string] as const] : []));
}
