import { InvalidRequestError, StorageUnavailableError } from "../../../task/errors.ts";
import type { Call } from "./call.ts";
import { type ClusterMap, readClusterMap } from "./cluster-map.ts";
import { commandText } from "./command-text.ts";
import { Connection, type Login } from "./connection.ts";
import { KeptConnection, openAll } from "./kept-connection.ts";
import { loadScripts } from "./load-scripts.ts";
import { prepared } from "./prepared.ts";
import { type Address, parseAddress, shownAddress } from "./redis-url.ts";
import type { ReplyError } from "./reply-parser.ts";
import { type Routes, standing } from "./routes.ts";
import type { Script } from "./script.ts";
import { expectMaster, expectMode } from "./server-role.ts";
import { SLOTS, slotOf } from "./slots.ts";

/** A master and our connections to it. */
interface Master {
  readonly address: Address;
  readonly pool: readonly KeptConnection[];
}

/** How often the map of the cluster is read again while something is wrong with it. */
const HEAL_MS = 250;
const MOVED_MS = 100;
/** How long a call waits before it asks again for a slot that is being moved, and for a master that is new to us. */
const TRYAGAIN_MS = 50;
const AWAIT_MASTER_MS = 10;
/** What is under way on a master that has lost its last slot is answered until then. */
const RETIRE_MS = 5_000;

const ASKING = commandText("ASKING", []);

/**
 * A Redis Cluster: connections to every master, and the map of which slot is where.
 *
 * The map is read again when a server says that a slot has moved, and, until all is well, while a connection to
 * a master is away. Replicas are not used: what is claimed must be read where it is written.
 */
export class Cluster implements Routes {
  readonly isCluster = true;
  readonly #seeds: readonly Address[];
  readonly #login: Login;
  readonly #size: number;
  readonly #scripts: readonly Script[];
  readonly #sent: () => void;
  readonly #masters = new Map<string, Master>();
  readonly #slots: (Master | undefined)[] = new Array(SLOTS).fill(undefined);
  #places: ReadonlySet<string> = new Set();
  #subscriber: Connection | undefined;
  #refreshing: Promise<void> | undefined;
  #healing: NodeJS.Timeout | undefined;
  #closed: string | undefined;

  /** `sent` is called after a command was sent. */
  constructor(
    seeds: readonly Address[],
    login: Login,
    size: number,
    scripts: readonly Script[],
    sent: () => void,
  ) {
    this.#seeds = seeds;
    this.#login = login;
    this.#size = size;
    this.#scripts = scripts;
    this.#sent = sent;
  }

  async open(): Promise<void> {
    const map = await this.#readMap();
    const uncovered = map.slots.indexOf(undefined);
    if (uncovered >= 0)
      throw new StorageUnavailableError(
        `The cluster at ${map.from} is not whole: no master serves slot ${uncovered}. See CLUSTER INFO`,
        { details: { applied: "no" } },
      );
    this.#adopt(map);
    await openAll(this.all());
  }

  of(key: string, lane = 0): KeptConnection | undefined {
    const slot = slotOf(key);
    const pool = this.#slots[slot]?.pool;
    return pool && standing(pool, slot + lane);
  }

  *all(): Iterable<KeptConnection> {
    for (const { pool } of this.#masters.values()) yield* pool;
  }

  /** Any node will do: what is published at one is heard at all. */
  async dialSubscriber(): Promise<Connection> {
    const live = [...this.#masters.values()].filter(({ pool }) => pool.some((kept) => kept.current));
    const addresses = shuffled(live.map(({ address }) => address));
    this.#subscriber = await this.#first(addresses.length > 0 ? addresses : this.#known());
    return this.#subscriber;
  }

  redirect(call: Call, error: ReplyError, by: Connection): boolean {
    const [code, slot, place = ""] = error.message.split(" ");
    // A server that does not know by which name it is reached leaves the host out.
    const address = parseAddress(place.startsWith(":") ? `${by.address.host}${place}` : place, 0);
    if (code === "MOVED" && address !== undefined) {
      this.#slots[Number(slot)] = this.#masterAt(address);
      this.#heal(MOVED_MS); // This slot is known already: others that have moved with it are read together.
      this.#sendWhenReady(call, () => this.of(call.key));
    } else if (code === "ASK" && address !== undefined) {
      const kept = this.#masterAt(address).pool[Number(slot) % this.#size];
      this.#sendWhenReady(call, () => kept, true);
    } else if (code === "TRYAGAIN" && performance.now() < call.dueAt) {
      call.again = 0; // For as long as its time allows: a key is being moved right now.
      setTimeout(() => this.#sendWhenReady(call, () => this.of(call.key)), TRYAGAIN_MS);
    } else {
      if (code === "READONLY" || code === "CLUSTERDOWN" || code === "MASTERDOWN") this.#heal(0);
      return false;
    }
    return true;
  }

  close(reason: string): void {
    this.#closed = reason;
    clearTimeout(this.#healing);
    for (const kept of this.all()) kept.close(reason);
  }

  #sendWhenReady(call: Call, keptNow: () => KeptConnection | undefined, isAsking = false): void {
    const kept = keptNow();
    const connection = kept?.current;
    if (connection !== undefined) {
      // ASKING counts for the next command alone, which must follow on the same connection.
      if (isAsking) connection.send(ASKING, unheeded(call.dueAt));
      connection.send(call.text, call);
      this.#sent();
    } else if (this.#closed !== undefined || performance.now() > call.dueAt) {
      const reason = this.#closed ?? kept?.trouble ?? "No master serves its slot";
      call.fail(new StorageUnavailableError(reason, { details: { applied: "no" } }));
    } else setTimeout(() => this.#sendWhenReady(call, keptNow, isAsking), AWAIT_MASTER_MS);
  }

  /** The master at an address; one that we did not know yet is connected to. */
  #masterAt(address: Address): Master {
    const place = shownAddress(address);
    const known = this.#masters.get(place);
    if (known !== undefined) return known;
    const master = this.#newMaster(address);
    for (const kept of master.pool) kept.start();
    return master;
  }

  #newMaster(address: Address): Master {
    const dial = async () => {
      const connection = await Connection.open(address, this.#login);
      return prepared(connection, async () => {
        expectMode(connection, "cluster");
        await expectMaster(connection);
        await loadScripts(connection, this.#scripts);
      });
    };
    const away = () => this.#heal(0);
    const pool = Array.from({ length: this.#size }, () => new KeptConnection(dial, { away }));
    const master = { address, pool };
    this.#masters.set(shownAddress(address), master);
    return master;
  }

  /** Reads the map soon, and again until every slot has a master and every connection stands. */
  #heal(afterMs: number): void {
    if (this.#healing !== undefined || this.#closed !== undefined) return;
    this.#healing = setTimeout(async () => {
      // What cannot be read now is read again at the next try.
      await this.#refresh().catch(() => undefined);
      this.#healing = undefined;
      if (!this.#isWhole()) this.#heal(HEAL_MS * (0.5 + Math.random()));
    }, afterMs);
  }

  #isWhole(): boolean {
    for (const kept of this.all()) if (kept.current === undefined) return false;
    return !this.#slots.includes(undefined);
  }

  #refresh(): Promise<void> {
    this.#refreshing ??= this.#readMap()
      .then((map) => {
        if (this.#closed !== undefined) return;
        for (const { pool } of this.#adopt(map)) for (const kept of pool) kept.start();
      })
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  /** Makes a map ours; returns the masters that are new, not yet connected. */
  #adopt(map: ClusterMap): Master[] {
    const fresh: Master[] = [];
    const holders = new Set<string>();
    for (const [slot, address] of map.slots.entries()) {
      const place = address && shownAddress(address);
      let master = place === undefined ? undefined : this.#masters.get(place);
      if (address !== undefined && master === undefined) {
        master = this.#newMaster(address);
        fresh.push(master);
      }
      if (place !== undefined) holders.add(place);
      this.#slots[slot] = master;
    }
    for (const [place, master] of this.#masters) if (!holders.has(place)) this.#retire(place, master);
    this.#places = map.places;
    // Whoever has left the cluster hears nothing of what is published in it.
    if (this.#subscriber !== undefined && !map.places.has(this.#subscriber.where))
      this.#subscriber.end("its node has left the cluster");
    return fresh;
  }

  #retire(place: string, { pool }: Master): void {
    this.#masters.delete(place);
    const reason = "its node serves no slots any more";
    for (const kept of pool) {
      if (kept.current === undefined || kept.current.waiting === 0) kept.close(reason);
      else setTimeout(() => kept.close(reason), RETIRE_MS).unref();
    }
  }

  async #readMap(): Promise<ClusterMap> {
    for (const { current } of this.all()) {
      if (current === undefined) continue;
      const map = await readClusterMap(current).catch(() => undefined);
      if (map !== undefined) return map;
    }
    const connection = await this.#first(this.#known());
    try {
      return await readClusterMap(connection);
    } finally {
      connection.end("the map is read");
    }
  }

  #known(): Address[] {
    const places = [...this.#places].flatMap((place) => parseAddress(place, 0) ?? []);
    return [...places, ...this.#seeds];
  }

  /** A connection to the first node that takes one. */
  async #first(addresses: readonly Address[]): Promise<Connection> {
    const troubles = new Set<string>();
    for (const address of addresses) {
      try {
        const connection = await Connection.open(address, this.#login);
        return await prepared(connection, async () => expectMode(connection, "cluster"));
      } catch (error) {
        if (error instanceof InvalidRequestError) throw error;
        troubles.add(error instanceof Error ? error.message : String(error));
      }
    }
    throw new StorageUnavailableError([...troubles].join(". "), { details: { applied: "no" } });
  }
}

function unheeded(dueAt: number) {
  const nothing = () => undefined;
  return { dueAt, answered: nothing, refused: nothing, lost: nothing };
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}
