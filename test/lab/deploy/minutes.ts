import { setTimeout as sleep } from "node:timers/promises";
import { Broker } from "../../../src/broker/broker.ts";
import { ManualClock } from "../../../src/clock.ts";
import { createServer, type DibsServer } from "../../../src/http/server.ts";
import { EmbeddedStorage } from "../../../src/storage/embedded/embedded-storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { SILENT } from "../../http/serving.ts";
import { SimulatedDisk } from "../../storage/simulated-disk.ts";
import { SmallDisk } from "../../storage/small-disk.ts";

/**
 * A real server whose minutes pass at once, and whose `/metrics` is read at the end of each: what Prometheus would
 * have seen. Its disk can be full and its store slow.
 */
export class Minutes implements AsyncDisposable {
  readonly url: string;
  readonly disk: SmallDisk;
  /** One text a minute. */
  readonly scrapes: string[] = [];
  readonly #clock: ManualClock;
  readonly #broker: Broker;
  readonly #server: DibsServer;
  readonly #slowness: { ms: number };

  private constructor(parts: {
    url: string;
    disk: SmallDisk;
    clock: ManualClock;
    broker: Broker;
    server: DibsServer;
    slowness: { ms: number };
  }) {
    this.url = parts.url;
    this.disk = parts.disk;
    this.#clock = parts.clock;
    this.#broker = parts.broker;
    this.#server = parts.server;
    this.#slowness = parts.slowness;
  }

  static async start(): Promise<Minutes> {
    const clock = new ManualClock();
    const disk = new SmallDisk(new SimulatedDisk(), Number.MAX_SAFE_INTEGER);
    const slowness = { ms: 0 };
    const engine = await EmbeddedStorage.open({ clock, disk });
    const broker = await Broker.open(slowed(engine, slowness));
    const server = await createServer(broker, { logger: SILENT });
    const url = await server.listen({ host: "127.0.0.1", port: 0 });
    return new Minutes({ url, disk, clock, broker, server, slowness });
  }

  /** From now on each claim takes so long at the store. */
  slowDown(ms: number): void {
    this.#slowness.ms = ms;
  }

  /** So many minutes, in each of which something happens. */
  async pass(minutes: number, happens: (minute: number) => Promise<unknown> | undefined): Promise<void> {
    for (let minute = 0; minute < minutes; minute += 1) {
      await happens(minute);
      this.#clock.advance(60_000);
      await this.#broker.runDue();
      this.scrapes.push(await (await fetch(`${this.url}/metrics`)).text());
    }
  }

  /** The answer as a value; undefined without one. */
  async post(path: string, body: object): Promise<Claims | undefined> {
    const answer = await fetch(this.url + path, { method: "POST", body: JSON.stringify(body) });
    const text = await answer.text();
    return text === "" ? undefined : (JSON.parse(text) as Claims);
  }

  async enqueue(count: number, fields: object = {}): Promise<void> {
    const tasks = Array.from({ length: count }, () => ({ queue: "mail", ...fields }));
    await this.post("/v1/tasks/batch", { tasks });
  }

  async claim(count: number, fields: object = {}): Promise<Claims["tasks"]> {
    return (await this.post("/v1/claims", { queues: ["mail"], max: count, ...fields }))?.tasks ?? [];
  }

  async settle(tasks: Claims["tasks"], fields: object): Promise<void> {
    const outcomes = tasks.map(({ id, lease }) => ({ id, leaseToken: lease.token, ...fields }));
    if (outcomes.length > 0) await this.post("/v1/settle", { outcomes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close();
    await this.#broker.close();
  }
}

interface Claims {
  readonly tasks: readonly { readonly id: string; readonly lease: { readonly token: string } }[];
}

function slowed(engine: Storage, slowness: { readonly ms: number }): Storage {
  return new Proxy(engine, {
    get(target, name: keyof Storage) {
      const member: unknown = target[name];
      if (typeof member !== "function") return member;
      if (name !== "claim") return member.bind(target);
      return async (...args: unknown[]) => {
        await sleep(slowness.ms);
        return member.apply(target, args) as unknown;
      };
    },
  });
}
