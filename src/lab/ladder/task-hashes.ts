import type { Script } from "../../storage/redis/link/script.ts";
import type { OpenRung, RungPlace, RungTask, RungWorker } from "./rung.ts";
import { type Command, Wire } from "./wire.ts";

const PAGE = 10;
const COUNT_PAGE = 1_000;

/** Tasks as the first flow has them: a hash each, with a status, in no order; who wants one has to look for it. */
export class TaskHashes {
  readonly wire: Wire;
  readonly #prefix: string;
  readonly #side: Wire;
  #filled = 0;

  private constructor(wire: Wire, side: Wire, prefix: string) {
    this.wire = wire;
    this.#side = side;
    this.#prefix = `${prefix}:task:`;
  }

  /** Opens a rung on such tasks. */
  static async open(
    place: RungPlace,
    scripts: readonly Script[],
    worker: (hashes: TaskHashes, n: number) => RungWorker,
  ): Promise<OpenRung> {
    const wire = await Wire.open(place, scripts);
    const side = await Wire.open(place, [], 1);
    const hashes = new TaskHashes(wire, side, place.prefix);
    return {
      fill: (tasks) => hashes.#fill(tasks),
      worker: (n) => worker(hashes, n),
      unfinished: () => hashes.#count(),
      traffic: () => wire.traffic(),
      async close() {
        await Promise.all([wire.close(), side.close()]);
      },
    };
  }

  key(id: string): string {
    return this.#prefix + id;
  }

  idOf(key: string): string {
    return key.slice(this.#prefix.length);
  }

  /** Deletes finished tasks in one call; how many were still there. */
  async complete(n: number, ids: readonly string[]): Promise<number> {
    const [first, ...rest] = ids.map((id) => this.key(id));
    return first === undefined ? 0 : Number(await this.wire.ask(n, "DEL", first, ...rest));
  }

  /** Pages of keys from the beginning of the keyspace, as SCAN gives them. */
  async *pages(n: number, count = PAGE): AsyncGenerator<readonly string[]> {
    yield* scan(this.wire, n, this.#prefix, count);
  }

  /** The first keys found to be pending, at most `count`: a page and then a pipeline for its states, until it has them. */
  async pending(n: number, count: number): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const keys of this.pages(n, Math.max(PAGE, count))) {
      if (keys.length === 0) continue;
      const states = await this.wire.pipeline(
        n,
        keys.map((key): Command => ["HGET", key, "status"]),
      );
      found.push(...keys.filter((_, at) => states[at] === "pending"));
      if (found.length >= count) break;
    }
    return found.slice(0, count);
  }

  async #fill(tasks: readonly RungTask[]): Promise<void> {
    await this.#side.pipeline(
      0,
      tasks.map(({ id, payload, priority }): Command => {
        this.#filled += 1;
        const fields = ["status", "pending", "data", payload, "priority", priority, "number", this.#filled];
        return ["HSET", this.key(id), ...fields];
      }),
    );
  }

  async #count(): Promise<number> {
    const keys = new Set<string>(); // SCAN may name a key twice.
    for await (const page of scan(this.#side, 0, this.#prefix, COUNT_PAGE))
      for (const key of page) keys.add(key);
    return keys.size;
  }
}

async function* scan(wire: Wire, n: number, prefix: string, count: number): AsyncGenerator<string[]> {
  let cursor = "0";
  do {
    const reply = await wire.ask(n, "SCAN", cursor, "MATCH", `${prefix}*`, "COUNT", count);
    const [next, keys] = reply as [string, string[]];
    yield keys;
    cursor = next;
  } while (cursor !== "0");
}
