import type { PromoteReply, Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { Calls } from "./calls.ts";
import type { Meters } from "./meters.ts";

/** Brings scheduled tasks to ready when their time has come (I4). */
export class Promoter {
  readonly #storage: Storage;
  readonly #calls: Calls;
  readonly #meters: Meters;

  constructor(storage: Storage, calls: Calls, meters: Meters) {
    this.#storage = storage;
    this.#calls = calls;
    this.#meters = meters;
  }

  /** One bounded step (I9). */
  async runOnce(queue: QueueName): Promise<PromoteReply> {
    const reply = await this.#calls.run("promoteDue", () => this.#storage.promoteDue(queue, LIMITS.stepMax));
    for (const ms of reply.latenessMs) this.#meters.latenessSeconds.record(ms / 1_000);
    return reply;
  }
}
