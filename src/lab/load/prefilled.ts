import type { Connection } from "../../sdk/connection.ts";
import { LIMITS } from "../../task/limits.ts";
import type { DeliveryLedger } from "../delivery.ts";
import { payloadOf } from "../payload.ts";

export interface PrefillOptions {
  readonly queue: string;
  readonly count: number;
  readonly priorities?: readonly number[];
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

/** Enqueues `count` tasks, one batch after the other; their ids in order. Ends early when it is told to. */
export async function prefill(
  connection: Connection,
  ledger: DeliveryLedger,
  { queue, count, priorities, signal, onProgress }: PrefillOptions,
): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count && !signal.aborted) {
    const size = Math.min(LIMITS.batchMax, count - ids.length);
    const items = Array.from({ length: size }, (_, n) => {
      const priority = priorities?.[(ids.length + n) % priorities.length];
      return {
        queue,
        payloadJson: payloadOf(ids.length + n),
        ...(priority !== undefined && { priority }),
      };
    });
    for (const answer of await connection.enqueueMany(items)) {
      if (!("task" in answer)) throw new Error(`Filling the queue was refused: ${answer.error.message}`);
      ids.push(answer.task.id);
      ledger.enqueued(answer.task.id);
    }
    onProgress(ids.length);
  }
  return ids;
}
