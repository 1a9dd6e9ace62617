import { StorageUnavailableError } from "../../../task/errors.ts";
import { Connection, type Login } from "./connection.ts";
import { type Address, parseAddress, type RedisPlace, shownAddress } from "./redis-url.ts";
import { ReplyError } from "./reply-parser.ts";

/**
 * Asks sentinels in turn for the address of the master, the one that answered last first. Sentinels that want a
 * login get that of the URL.
 */
export class Sentinels {
  readonly #place: RedisPlace;
  readonly #login: Login;
  #addresses: readonly Address[];

  constructor(place: RedisPlace, login: Login) {
    this.#place = place;
    this.#login = { ...login, db: 0 };
    this.#addresses = place.addresses;
  }

  /** @throws StorageUnavailableError when no sentinel answers, or none knows the master. */
  async master(): Promise<Address> {
    const troubles: string[] = [];
    for (const address of this.#addresses) {
      try {
        const master = await this.#ask(address);
        this.#addresses = [address, ...this.#addresses.filter((other) => other !== address)];
        return master;
      } catch (error) {
        troubles.push(error instanceof Error ? error.message : String(error));
      }
    }
    throw new StorageUnavailableError(`No sentinel names the master. ${troubles.join(". ")}`, {
      details: { applied: "no" },
    });
  }

  async #ask(address: Address): Promise<Address> {
    const name = this.#place.masterName as string;
    const connection = await this.#open(address);
    const timer = setTimeout(() => connection.end("no answer in time"), 2_000);
    try {
      const reply = await connection.ask("SENTINEL", ["GET-MASTER-ADDR-BY-NAME", name]);
      if (!Array.isArray(reply))
        throw new StorageUnavailableError(
          `The sentinel at ${shownAddress(address)} knows no master ${JSON.stringify(name)}`,
        );
      const master = { host: String(reply[0]), port: Number(reply[1]) };
      return parseAddress(shownAddress(master), 0) ?? master;
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      const isSentinel = connection.greeting.mode === "sentinel";
      const why = isSentinel ? error.message : "it is no sentinel: write redis:// for a plain Redis";
      throw new StorageUnavailableError(`${shownAddress(address)} names no master: ${why}`, { cause: error });
    } finally {
      clearTimeout(timer);
      connection.end("asked");
    }
  }

  /** Most sentinels want no login, and would refuse one. */
  async #open(address: Address): Promise<Connection> {
    const { username: _, password, ...nobody } = this.#login;
    try {
      return await Connection.open(address, nobody);
    } catch (error) {
      const wantsLogin = error instanceof Error && error.cause instanceof ReplyError;
      if (password === undefined || !wantsLogin) throw error;
      return Connection.open(address, this.#login);
    }
  }
}
