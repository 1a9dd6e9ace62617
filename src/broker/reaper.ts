import type { ReapReply, Storage } from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { Calls } from "./calls.ts";
import type { Meters } from "./meters.ts";

export interface ReaperOptions {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly meters: Meters;
  readonly noteFinished: (queue: QueueName, count: number) => void;
}

/** Takes tasks back whose leases ended: to ready, or to dead after the last attempt. */
export class Reaper {
  readonly #options: ReaperOptions;

  constructor(options: ReaperOptions) {
    this.#options = options;
  }

  /** One bounded step (I9). */
  async runOnce(queue: QueueName): Promise<ReapReply> {
    const { storage, calls, meters, noteFinished } = this.#options;
    const reply = await calls.run("reapExpired", () => storage.reapExpired(queue, LIMITS.stepMax));
    if (reply.reaped.length === 0) return reply;
    const dead = reply.reaped.filter(({ state }) => state === "dead").length;
    const meter = meters.queue(queue);
    meter.leasesExpired += reply.reaped.length;
    meter.dead += dead;
    if (dead > 0) noteFinished(queue, dead);
    return reply;
  }
}
