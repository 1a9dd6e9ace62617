import { type ClusterMap, readClusterMap } from "../../storage/redis/link/cluster-map.ts";
import { Connection, type Login } from "../../storage/redis/link/connection.ts";
import {
  type Address,
  parseAddress,
  type RedisPlace,
  shownAddress,
} from "../../storage/redis/link/redis-url.ts";
import { type Reply, ReplyError } from "../../storage/redis/link/reply-parser.ts";
import { Sentinels } from "../../storage/redis/link/sentinel.ts";
import { expectMaster, expectMode } from "../../storage/redis/link/server-role.ts";
import { Watchdog } from "../../storage/redis/link/watchdog.ts";
import { type Finding, graded, judged } from "./finding.ts";

/** How long a server may take to answer one command. */
const ANSWER_MS = 5_000;
const CONNECT_MS = { yellow: 50, red: 1_000 } as const;

/** The connections of one look, one to each server, with the watchdog of the engine over them. */
export class RedisServers {
  readonly login: Login;
  readonly #connections: Connection[] = [];
  readonly #watchdog = new Watchdog(ANSWER_MS, () => this.#connections);
  #cluster: ClusterMap | undefined;

  constructor(login: Login) {
    this.login = login;
  }

  /** The map of the cluster, of a cluster. */
  get cluster(): ClusterMap | undefined {
    return this.#cluster;
  }

  /** Connects to every master of a place; says how that went, and goes on with those that answer. */
  async openMasters(place: RedisPlace): Promise<{ masters: Connection[]; findings: Finding[] }> {
    const findings: Finding[] = [];
    const addresses = await this.#mastersOf(place, findings);
    const masters: Connection[] = [];
    for (const address of addresses) {
      const master = await this.open(address, findings);
      if (master === undefined) continue;
      masters.push(master);
      findings.push(
        await this.watching(roleFinding(master, place.kind === "cluster" ? "cluster" : "standalone")),
      );
    }
    return { masters, findings };
  }

  async open(address: Address, findings: Finding[]): Promise<Connection | undefined> {
    const startedAt = performance.now();
    const where = shownAddress(address);
    try {
      const connection = await Connection.open(address, this.login);
      this.#connections.push(connection);
      findings.push(
        graded({
          check: "connecting",
          where,
          value: performance.now() - startedAt,
          unit: "ms",
          ...CONNECT_MS,
          advice:
            "A new connection takes long: look at the name service, the network, TLS, and how busy the server is",
        }),
      );
      return connection;
    } catch (error) {
      findings.push(unreachable(where, error));
      return undefined;
    }
  }

  /** Asks one command, at most for some seconds. */
  ask(connection: Connection, name: string, ...args: readonly (string | number)[]): Promise<Reply> {
    return this.watching(connection.ask(name, args, ANSWER_MS));
  }

  /** Whatever else asks on these connections: the watchdog sees that it is answered in time. */
  watching<Answer>(asking: Promise<Answer>): Promise<Answer> {
    this.#watchdog.wake();
    return asking;
  }

  /** The same, undefined where the user may not, or the server does not know the command. */
  async askIfAllowed(
    connection: Connection,
    name: string,
    ...args: readonly (string | number)[]
  ): Promise<Reply | undefined> {
    try {
      return await this.ask(connection, name, ...args);
    } catch (error) {
      if (error instanceof ReplyError) return undefined;
      throw error;
    }
  }

  /** Asks several as one atomic step (MULTI). */
  async askAtOnce(
    connection: Connection,
    commands: readonly (readonly (string | number)[])[],
  ): Promise<Reply[]> {
    const all = [["MULTI"], ...commands, ["EXEC"]].map(([name, ...args]) =>
      this.ask(connection, String(name), ...args),
    );
    const replies = await Promise.all(all);
    return replies.at(-1) as Reply[];
  }

  close(): void {
    this.#watchdog.close();
    for (const connection of this.#connections) connection.end("the look is over");
  }

  #mastersOf(place: RedisPlace, findings: Finding[]): Promise<readonly Address[]> {
    if (place.kind === "cluster") return this.#mastersOfCluster(place, findings);
    if (place.kind === "sentinel") return this.#masterOfSentinels(place, findings);
    return Promise.resolve(place.addresses);
  }

  /** Each sentinel is asked by itself: two that disagree are worse than one that is away. */
  async #masterOfSentinels(place: RedisPlace, findings: Finding[]): Promise<readonly Address[]> {
    const named = new Map<string, Address>();
    const troubles: string[] = [];
    for (const sentinel of place.addresses) {
      try {
        const master = await new Sentinels({ ...place, addresses: [sentinel] }, this.login).master();
        named.set(shownAddress(master), master);
      } catch (error) {
        troubles.push((error as Error).message);
      }
    }
    const answered = place.addresses.length - troubles.length;
    findings.push(
      judged(named.size !== 1 ? "red" : troubles.length > 0 ? "yellow" : "green", {
        check: "sentinels",
        where: place.shown,
        figure: `${answered} of ${place.addresses.length} name the master ${[...named.keys()].join(" and ") || "not at all"}`,
        bound: "all of them, and the same one",
        advice:
          named.size > 1 ? "They disagree: a failover is under way, or did not end" : troubles.join(". "),
      }),
    );
    return [...named.values()];
  }

  async #mastersOfCluster(place: RedisPlace, findings: Finding[]): Promise<readonly Address[]> {
    const troubles: string[] = [];
    for (const seed of place.addresses) {
      try {
        const map = await this.#mapFrom(seed);
        this.#cluster ??= map;
      } catch (error) {
        troubles.push((error as Error).message);
      }
    }
    const map = this.#cluster;
    if (map === undefined) {
      findings.push(...troubles.map((trouble) => unreachable(place.shown, new Error(trouble))));
      return [];
    }
    const places = new Set(
      map.slots.flatMap((address) => (address === undefined ? [] : [shownAddress(address)])),
    );
    const uncovered = map.slots.filter((address) => address === undefined).length;
    findings.push(
      judged(uncovered > 0 ? "red" : troubles.length > 0 ? "yellow" : "green", {
        check: "cluster",
        where: place.shown,
        figure: `${places.size} masters, ${(map.slots.length - uncovered).toLocaleString("en-US")} of ${map.slots.length.toLocaleString("en-US")} slots served`,
        bound: "every slot served, every node of the URL answering",
        advice:
          uncovered > 0
            ? "The queues of those slots cannot be used: see CLUSTER NODES and bring the master or its replica back"
            : troubles.join(". "),
      }),
    );
    return [...places].flatMap((text) => parseAddress(text, 0) ?? []);
  }

  async #mapFrom(seed: Address): Promise<ClusterMap> {
    const connection = await Connection.open(seed, this.login);
    try {
      expectMode(connection, "cluster");
      return await readClusterMap(connection);
    } finally {
      connection.end("the map is read");
    }
  }
}

/** The line of a server that cannot be used at all. */
export function unreachable(where: string, error: unknown): Finding {
  return {
    check: "connecting",
    where,
    colour: "red",
    figure: "failed",
    bound: "a connection within a second",
    advice: (error as Error).message,
  };
}

/** Of the right kind, and taking writes: by the checks of a start. */
async function roleFinding(connection: Connection, mode: "standalone" | "cluster"): Promise<Finding> {
  const { greeting, where } = connection;
  const line = {
    check: "role",
    where,
    figure: `${greeting.role || "not told"}, ${greeting.mode || "mode not told"}`,
    bound: `a master, ${mode}`,
  };
  try {
    expectMode(connection, mode);
    await expectMaster(connection);
    return { ...line, colour: "green" };
  } catch (error) {
    return { ...line, colour: "red", advice: (error as Error).message };
  }
}
