import type { Call } from "./call.ts";
import { Connection, type Login } from "./connection.ts";
import { KeptConnection, openAll } from "./kept-connection.ts";
import { loadScripts } from "./load-scripts.ts";
import { prepared } from "./prepared.ts";
import type { Address } from "./redis-url.ts";
import type { ReplyError } from "./reply-parser.ts";
import { hashOf, type Routes, standing } from "./routes.ts";
import type { Script } from "./script.ts";
import { expectMaster, expectMode } from "./server-role.ts";

/** One Redis: at a fixed address, or at the one that the sentinels name each time it is asked for. */
export class SingleServer implements Routes {
  readonly isCluster = false;
  readonly #address: () => Promise<Address>;
  readonly #login: Login;
  readonly #pool: readonly KeptConnection[];

  constructor(address: () => Promise<Address>, login: Login, size: number, scripts: readonly Script[]) {
    this.#address = address;
    this.#login = login;
    const dial = async () => {
      const connection = await this.dialSubscriber();
      return prepared(connection, () => loadScripts(connection, scripts));
    };
    this.#pool = Array.from({ length: size }, () => new KeptConnection(dial));
  }

  open(): Promise<void> {
    return openAll(this.#pool);
  }

  of(key: string, lane = 0): KeptConnection {
    return standing(this.#pool, this.#pool.length === 1 ? 0 : hashOf(key) + lane);
  }

  all(): Iterable<KeptConnection> {
    return this.#pool;
  }

  async dialSubscriber(): Promise<Connection> {
    const connection = await Connection.open(await this.#address(), this.#login);
    return prepared(connection, async () => {
      expectMode(connection, "standalone");
      await expectMaster(connection);
    });
  }

  redirect(_call: Call, error: ReplyError, by: Connection): boolean {
    // The master is elsewhere now: connecting again asks where, or waits until it is one again.
    if (error.code === "READONLY") setImmediate(() => by.end("it has become a replica"));
    return false;
  }

  close(reason: string): void {
    for (const kept of this.#pool) kept.close(reason);
  }
}
