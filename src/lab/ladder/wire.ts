import { createHash } from "node:crypto";
import { Connection } from "../../storage/redis/link/connection.ts";
import { RedisLink, type RedisOptions } from "../../storage/redis/link/link.ts";
import { parseRedisUrl } from "../../storage/redis/link/redis-url.ts";
import type { Script } from "../../storage/redis/link/script.ts";
import type { RungPlace, Traffic } from "./rung.ts";

export type Command = readonly [name: string, first: string, ...rest: (string | number)[]];

/** The connections of a rung, as many as the product has by default, and a count of what is sent on them. */
export class Wire {
  readonly #place: RungPlace;
  readonly #links: readonly RedisLink[];
  #roundTrips = 0;
  readonly #plain: Record<string, number> = {};

  private constructor(place: RungPlace, links: readonly RedisLink[]) {
    this.#place = place;
    this.#links = links;
  }

  static async open(place: RungPlace, scripts: readonly Script[] = [], connections = 2): Promise<Wire> {
    const links: RedisLink[] = [];
    try {
      for (let n = 0; n < connections; n += 1) {
        links.push(await RedisLink.open({ ...linkOptionsOf(place), connections: 1 }, scripts));
      }
      return new Wire(place, links);
    } catch (error) {
      await Promise.all(links.map((link) => link.close()));
      throw error;
    }
  }

  /** Sends one command on the connection of caller `n`. */
  async ask(n: number, ...[name, first, ...rest]: Command): Promise<unknown> {
    this.#roundTrips += 1;
    this.#note(name, 1);
    return this.#link(n).command(name, first, ...rest);
  }

  /** Sends commands together, as a pipeline does: one round trip. */
  pipeline(n: number, commands: readonly Command[]): Promise<unknown[]> {
    this.#roundTrips += 1;
    const link = this.#link(n);
    return Promise.all(
      commands.map(([name, first, ...rest]) => {
        this.#note(name, 1);
        return link.command(name, first, ...rest);
      }),
    );
  }

  /** Runs a script. */
  async run(n: number, script: Script, keys: readonly string[], args: readonly (string | number)[]) {
    this.#roundTrips += 1;
    return this.#link(n).run(script, keys, args);
  }

  /** Opens a connection, runs a script on it and closes it: the connect, the greeting and the call are a round trip each. */
  async runCold(script: Script, keys: readonly string[], args: readonly (string | number)[]) {
    this.#roundTrips += 3;
    const { url, tls } = this.#place;
    const login = parseRedisUrl(url);
    const connection = await Connection.open(login.addresses[0], {
      ...login,
      ...(tls !== undefined && { tls }),
    });
    try {
      return await connection.ask("EVALSHA", [script.sha, keys.length, ...keys, ...args]);
    } finally {
      connection.end("its one call is done");
    }
  }

  traffic(): Traffic {
    return { roundTrips: this.#roundTrips, plain: { ...this.#plain } };
  }

  async close(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.close()));
  }

  #link(n: number): RedisLink {
    return this.#links[n % this.#links.length] as RedisLink;
  }

  #note(name: string, count: number): void {
    const known = name.toLowerCase();
    this.#plain[known] = (this.#plain[known] ?? 0) + count;
  }
}

/** How the engine's link gets to a place. */
export function linkOptionsOf({ url, tls }: Pick<RungPlace, "url" | "tls">): RedisOptions {
  return { url, ...(tls !== undefined && { tls }) };
}

/** A script of a rung. */
export function script(name: string, source: string): Script {
  return { name, source, sha: createHash("sha1").update(source).digest("hex") };
}
