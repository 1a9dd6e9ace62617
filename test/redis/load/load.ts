import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../../../src/sdk/connection.ts";
import { lookAt, type Snapshot } from "../../crash/snapshot.ts";
import { checkHistory, type Verdicts } from "../history/check.ts";
import type { Moment } from "../history/moment.ts";
import { Recorder, readHistory } from "../history/recorder.ts";
import type { Loss } from "../history/story.ts";
import { until } from "../servers/until.ts";
import { Child, type Told } from "./child.ts";
import { Participants, type Plan } from "./participants.ts";
import { openPlace, type Place } from "./place.ts";

/** The faults tests are as long as these say; a seed makes the choices of participants again. */
export const TASKS = Number(process.env["DIBS_FAULT_TASKS"] ?? 5_000);
export const INJECTIONS = Number(process.env["DIBS_FAULT_INJECTIONS"] ?? 3);
export const SEED = Number(process.env["DIBS_FAULT_SEED"] ?? Date.now() % 1_000_000);

export const LEASE_MS = 1_000;
const PER_SECOND = 1_000;
/** More ready tasks than this in a queue, and the producers wait. */
const BACKLOG = 500;
const LOOK_MS = 200;
const DRAIN_MS = 60_000;
/** Until a claim that waits asks again after its call was given up: the deadline of a call, and a second. */
const GIVEN_UP_MS = 6_000;
const NUMBERS = 1_000_000;
const KEEP_ALL = {
  retention: {
    completedMs: 86_400_000,
    completedMax: 10_000_000,
    deadMs: 86_400_000,
    deadMax: 10_000_000,
    bytesMax: 2 ** 40,
  },
};

type Group = Participants | Child;

/** Load on a place, by participants here and in processes of their own, and the history of all that they do. */
export class Load {
  readonly #place: Place;
  readonly #queues: readonly string[];
  readonly #folder = mkdtempSync(join(tmpdir(), "dibs-faults-"));
  readonly #recorder = new Recorder(this.#fileOf("here"));
  readonly #files = [this.#fileOf("here")];
  readonly #groups: Group[] = [];
  readonly #connections: Connection[] = [];
  readonly #disturbances: Loss[] = [];
  #count = 0;
  #isClosed = false;
  #looking: Promise<void> = Promise.resolve();
  readonly strange: string[] = [];

  private constructor(place: Place, queues: readonly string[]) {
    this.#place = place;
    this.#queues = queues;
  }

  static async open(place: Place, queues: readonly string[] = ["alpha", "beta"]): Promise<Load> {
    const load = new Load(place, queues);
    const connection = await load.connect();
    for (const queue of queues) await connection.configure(queue, KEEP_ALL);
    load.#looking = load.#holdBack(connection);
    return load;
  }

  /** A connection of one's own, closed with the load. */
  async connect(place: Place = this.#place): Promise<Connection> {
    const connection = await openPlace(place);
    this.#connections.push(connection);
    return connection;
  }

  /** Participants in this process, with a broker of their own. */
  async here(plan: Partial<Plan> = {}, place?: Place): Promise<Participants> {
    const group = new Participants(await this.connect(place), this.#recorder, this.#plan(plan));
    this.#groups.push(group);
    return group;
  }

  /** Participants in a process of their own, with one broker or more. */
  async apart(plan: Partial<Plan> = {}, brokers = 1, place: Place = this.#place): Promise<Child> {
    const plans = Array.from({ length: brokers }, () => this.#plan(plan));
    const file = this.#fileOf(`apart-${this.#count}`);
    this.#files.push(file);
    const child = await Child.start(place, plans, file);
    this.#groups.push(child);
    return child;
  }

  /** Resolves when so many tasks were enqueued here since it was asked. */
  async progress(count: number): Promise<void> {
    const enough = this.#enqueuedHere + count;
    await until(`${count} more tasks are enqueued`, () => this.#enqueuedHere >= enough, 60_000);
  }

  /** Errors that participants here met, as text, and how often. */
  get troubles(): ReadonlyMap<string, number> {
    const all = new Map<string, number>();
    for (const group of this.#groups)
      if (group instanceof Participants)
        for (const [text, count] of group.troubles) all.set(text, (all.get(text) ?? 0) + count);
    return all;
  }

  get enqueuedHere(): number {
    return this.#enqueuedHere;
  }

  /** Connections may have broken, or been given up a deadline later. */
  disturbed(from: Moment, to: Moment): void {
    this.#disturbances.push({ from, to: to + GIVEN_UP_MS });
  }

  /** Lets everything come to its end, and holds the history against the invariants. */
  async finish(losses: readonly Loss[] = []): Promise<Verdicts & { readonly snapshot: Snapshot }> {
    if (this.#enqueuedHere < TASKS) await this.progress(TASKS - this.#enqueuedHere);
    await Promise.all(this.#groups.map((group) => group.stopProducing()));
    const connection = this.#connections[0] as Connection;
    await until("everything is done", () => this.#isDone(connection), DRAIN_MS);
    for (const group of this.#groups) this.#heed(await group.stop(), group);
    const snapshot = await lookAt(connection);
    const verdicts = checkHistory(readHistory(this.#files), snapshot, losses, this.#disturbances);
    return { ...verdicts, snapshot };
  }

  /** Keeps the producers here from running away from the workers. */
  async #holdBack(connection: Connection): Promise<void> {
    while (!this.#isClosed) {
      const queues = await connection.queues().catch(() => []);
      const isBehind = queues.some(({ counts }) => counts.ready > BACKLOG);
      for (const group of this.#groups) if (group instanceof Participants) group.isPaused = isBehind;
      await sleep(LOOK_MS);
    }
  }

  /** For the end of a test, however it went. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#looking;
    await Promise.all(this.#groups.map((group) => (group instanceof Child ? group.kill() : group.stop())));
    await Promise.all(this.#connections.map((connection) => connection.close()));
    this.#recorder.close();
    rmSync(this.#folder, { recursive: true });
  }

  async #isDone(connection: Connection): Promise<boolean> {
    await sleep(40);
    const queues = await connection.queues().catch(() => undefined);
    return queues?.every(({ counts }) => counts.ready + counts.scheduled + counts.leased === 0) ?? false;
  }

  #heed(told: unknown, group: Group): void {
    const { strange } =
      group instanceof Participants ? group : ((told as Told | undefined) ?? { strange: [] });
    this.strange.push(...strange);
  }

  get #enqueuedHere(): number {
    return this.#groups.reduce((sum, group) => sum + (group instanceof Participants ? group.enqueued : 0), 0);
  }

  #plan(plan: Partial<Plan>): Plan {
    this.#count += 1;
    return {
      name: `group-${this.#count}`,
      seed: SEED + this.#count,
      queues: this.#queues,
      producers: 2,
      workers: 4,
      firstNumber: this.#count * NUMBERS,
      perSecond: PER_SECOND,
      leaseMs: LEASE_MS,
      keepsMs: 20,
      ...plan,
    };
  }

  #fileOf(name: string): string {
    return join(this.#folder, `${name}.calls`);
  }
}
