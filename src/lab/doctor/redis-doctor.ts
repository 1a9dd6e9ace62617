import { parseMoveMark, refuseMidMove } from "../../storage/move-mark.ts";
import { Keys } from "../../storage/redis/keys.ts";
import { readFacts, type ServerFacts } from "../../storage/redis/link/checks.ts";
import type { Connection } from "../../storage/redis/link/connection.ts";
import { loginOf, type RedisOptions } from "../../storage/redis/link/link.ts";
import { parseRedisUrl, type RedisPlace, shownAddress } from "../../storage/redis/link/redis-url.ts";
import { slotOf } from "../../storage/redis/link/slots.ts";
import { FORMAT } from "../../storage/redis/scripts.ts";
import type { QueueName } from "../../task/ids.ts";
import { type Diagnosis, diagnosisOf, type Look } from "./diagnosis.ts";
import { type Finding, judged } from "./finding.ts";
import { machineFindings, watched } from "./machine.ts";
import { QUEUES_MAX, type QueueFacts, queueFindings } from "./queue-health.ts";
import { clientFindings } from "./redis-clients.ts";
import { probeRedis } from "./redis-probe.ts";
import { queueNames, RedisQueues } from "./redis-queues.ts";
import { replicaFindings } from "./redis-replicas.ts";
import { scriptFinding } from "./redis-scripts.ts";
import { RedisServers, unreachable } from "./redis-servers.ts";
import { delayedFlushFinding, settingsFindings } from "./redis-settings.ts";
import { measureRoundTrips, roundTripFindings } from "./round-trips.ts";
import { clockOffset, skewFinding } from "./server-time.ts";
import { tlsFinding } from "./tls.ts";

/** Asked of a Redis: what a store there is opened with. */
export type RedisTarget = Pick<RedisOptions, "url" | "prefix" | "connections" | "tls">;

/**
 * Looks at a Redis, a cluster or a Redis behind sentinels, and at the store with a prefix in it.
 *
 * It reads, and writes only keys of its own that begin with `<prefix>:doctor:`, which are gone when it ends. The scripts
 * of this version may be in the server's script cache afterwards.
 * @throws {InvalidRequestError} when the URL is none of a Redis. Everything else is a line.
 */
export async function examineRedis(target: RedisTarget, look: Look): Promise<Diagnosis> {
  const place = parseRedisUrl(target.url);
  const at = Date.now();
  const servers = new RedisServers(loginOf(place, target));
  try {
    const { findings, roundTrips } = await new RedisExamination(target, place, servers, look).run();
    return diagnosisOf({ place: place.shown, kind: "redis", at }, findings, roundTrips);
  } catch (error) {
    // Lost in the middle of the look: that, too, is a finding.
    return diagnosisOf({ place: place.shown, kind: "redis", at }, [unreachable(place.shown, error)]);
  } finally {
    servers.close();
  }
}

class RedisExamination {
  readonly #target: RedisTarget;
  readonly #place: RedisPlace;
  readonly #servers: RedisServers;
  readonly #look: Look;
  readonly #keys: Keys;
  readonly #findings: Finding[] = [];

  constructor(target: RedisTarget, place: RedisPlace, servers: RedisServers, look: Look) {
    this.#target = target;
    this.#place = place;
    this.#servers = servers;
    this.#look = look;
    this.#keys = new Keys(target.prefix ?? "dibs", place.kind === "cluster");
  }

  async run() {
    const { onStep } = this.#look;
    onStep("Connecting");
    const { masters, findings } = await this.#servers.openMasters(this.#place);
    this.#add(findings);
    if (masters.length === 0) return { findings: this.#findings, roundTrips: [] };
    const facts = new Map<Connection, ServerFacts>();
    for (const master of masters) facts.set(master, await this.#lookAt(master));
    const usable = masters.filter(({ greeting }) => greeting.role === "master" || greeting.role === "");
    if (usable.length > 0) {
      onStep("Looking at the queues");
      this.#add(await this.#storeFindings(usable));
      onStep("Claiming in a store of its own");
      this.#add(await this.#probe());
    }
    const roundTrips = await this.#measure(masters);
    for (const [master, before] of facts) {
      const delayed = delayedFlushFinding(before, await this.#servers.watching(readFacts(master)));
      if (delayed !== undefined) this.#add([delayed]);
    }
    return { findings: this.#findings, roundTrips };
  }

  #add(findings: readonly Finding[]): void {
    this.#findings.push(...findings);
  }

  async #lookAt(master: Connection): Promise<ServerFacts> {
    this.#look.onStep(`Looking at ${master.where}`);
    const facts = await this.#servers.watching(readFacts(master));
    const clock = await clockOffset(this.#servers, master);
    const isFailedOver = this.#place.kind !== "standalone";
    this.#add(settingsFindings(facts));
    this.#add([await tlsFinding(master.address, this.#place.isTls, this.#target.tls)]);
    this.#add([skewFinding(master.where, clock)]);
    this.#add(await replicaFindings(this.#servers, master, facts.info, clock, isFailedOver));
    this.#add(await clientFindings(this.#servers, master));
    return facts;
  }

  /** The store of the prefix; on a Redis without one nothing is made. */
  async #storeFindings(masters: readonly Connection[]): Promise<Finding[]> {
    const where = this.#place.shown;
    const home = this.#masterOf(masters, this.#keys.format);
    if (home === undefined) return [];
    const format = (await this.#servers.ask(home, "GET", this.#keys.format)) as string | null;
    const scripts: Finding[] = [];
    for (const master of masters) scripts.push(await scriptFinding(this.#servers, master, format !== null));
    const store = this.#storeFinding(format);
    if (format !== String(FORMAT)) return [store, ...scripts];
    return [store, await this.#moveFinding(masters), ...scripts, ...(await this.#queues(where, masters))];
  }

  #storeFinding(format: string | null): Finding {
    const prefix = this.#target.prefix ?? "dibs";
    return judged(format === null || format === String(FORMAT) ? "green" : "red", {
      check: "store",
      where: this.#place.shown,
      figure: format === null ? `none with the prefix ${prefix} yet` : `format ${format}, prefix ${prefix}`,
      bound: `format ${FORMAT}`,
      advice:
        "A later version of Dibs, or something else, has these keys: use that version, or another --prefix",
    });
  }

  async #moveFinding(masters: readonly Connection[]): Promise<Finding> {
    const home = this.#masterOf(masters, this.#keys.move) ?? masters[0];
    const text = (await this.#servers.ask(home as Connection, "GET", this.#keys.move)) as string | null;
    const line = { check: "move", where: this.#place.shown, bound: "no move in the middle" };
    if (text === null) return { ...line, colour: "green", figure: "none" };
    try {
      const mark = parseMoveMark(text, this.#place.shown);
      refuseMidMove(mark, this.#place.shown);
      return { ...line, colour: "green", figure: mark.phase };
    } catch (error) {
      return { ...line, colour: "red", figure: "in the middle", advice: (error as Error).message };
    }
  }

  async #queues(where: string, masters: readonly Connection[]): Promise<Finding[]> {
    const home = this.#masterOf(masters, this.#keys.queues);
    if (home === undefined) return [];
    const names = await queueNames(this.#servers, home, this.#keys);
    const readers = new Map<Connection, RedisQueues>();
    for (const master of masters)
      readers.set(master, await RedisQueues.open(this.#servers, master, this.#keys));
    const queues: QueueFacts[] = [];
    for (const name of names.slice(0, QUEUES_MAX)) {
      const facts = await this.#reader(readers, masters, name)?.read(name);
      if (facts !== undefined) queues.push(facts);
    }
    const { offsetMs } = await clockOffset(this.#servers, home);
    const now = Date.now() + offsetMs;
    return queueFindings(where, { now, queues, total: names.length, isServed: true });
  }

  #reader(readers: ReadonlyMap<Connection, RedisQueues>, masters: readonly Connection[], name: QueueName) {
    const master = this.#masterOf(masters, this.#keys.meta(name));
    return master && readers.get(master);
  }

  /** The one that has a key; undefined when it cannot be reached. */
  #masterOf(masters: readonly Connection[], key: string): Connection | undefined {
    const { cluster } = this.#servers;
    if (cluster === undefined) return masters[0];
    const address = cluster.slots[slotOf(key)];
    return address && masters.find(({ where }) => where === shownAddress(address));
  }

  async #probe(): Promise<Finding[]> {
    const { shown } = this.#place;
    try {
      return await probeRedis(shown, this.#target);
    } catch (error) {
      return [
        {
          check: "opening",
          where: shown,
          colour: "red",
          figure: "failed",
          bound: "a store can be opened",
          advice: (error as Error).message,
        },
      ];
    }
  }

  async #measure(masters: readonly Connection[]) {
    const { forMs, signal, onStep } = this.#look;
    onStep(`Measuring round trips for ${Math.round(forMs / 1_000)} s`);
    const [roundTrips, machine] = await watched(() =>
      Promise.all(
        masters.map((master) =>
          measureRoundTrips(master.where, () => this.#servers.ask(master, "PING"), forMs, signal),
        ),
      ),
    );
    this.#add(roundTrips.flatMap(roundTripFindings));
    this.#add(machineFindings(machine));
    return roundTrips;
  }
}
