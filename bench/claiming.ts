import type { DeliveryLedger } from "../src/lab/delivery.ts";
import { LatencyHistogram } from "../src/lab/histogram.ts";
import { nowNs } from "../src/lab/nano-clock.ts";

/** What is claimed, by whom, for how long. */
export interface ClaimLoad {
  readonly callers: number;
  readonly seconds: number;
  /** Claims one task for caller number n; its id. */
  claim(caller: number): Promise<string>;
  /** Tasks that are there: when they run out, the loop ends early. */
  readonly stock: { take(caller: number): boolean };
  readonly ledger?: DeliveryLedger;
}

/** A number of tasks to be taken, shared by all who take. */
export class Stock {
  #left: number;

  constructor(count: number) {
    this.#left = count;
  }

  take(): boolean {
    this.#left -= 1;
    return this.#left >= 0;
  }
}

/** Each caller claims again as soon as it has its task; nothing is completed. */
export async function claimLoop({ callers, seconds, claim, stock, ledger }: ClaimLoad) {
  const latency = new LatencyHistogram();
  const startedAt = nowNs();
  const end = startedAt + seconds * 1e9;
  const loop = async (caller: number) => {
    for (let askedAt = nowNs(); askedAt < end && stock.take(caller); askedAt = nowNs()) {
      const id = await claim(caller);
      latency.record(nowNs() - askedAt);
      ledger?.claimed(id);
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)));
  return { seconds: (nowNs() - startedAt) / 1e9, operations: latency.count, latency };
}
