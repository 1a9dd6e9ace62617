import { nowNs } from "../nano-clock.ts";
import { LEASE_MS } from "./bench-queue.ts";
import { callInLoops } from "./callers.ts";
import { completionOf } from "./held-tasks.ts";
import type { BenchTurn } from "./workload.ts";

/** The whole life of a task: each caller enqueues, claims the head of the queue and completes it; so the depth stays. */
export async function cycleWorkload(turn: BenchTurn): Promise<void> {
  const { connection, queue, settings, tally, stopwatch, signal } = turn;
  const { concurrency, batch, depth } = settings;
  const body = { queues: [queue.name], max: batch, leaseMs: LEASE_MS };
  const step = async () => {
    const startedAt = nowNs();
    try {
      if (batch === 1) queue.enqueued((await connection.enqueue(queue.nextItem())).id);
      else queue.allEnqueued(await connection.enqueueMany(queue.nextItems(batch)));
      const enqueuedAt = nowNs();
      const tasks = await connection.claim(body);
      const claimedAt = nowNs();
      tally.took("enqueue", enqueuedAt - startedAt, 0);
      if (tasks.length === 0) return tally.tookEmpty(claimedAt - enqueuedAt);
      tally.took("claim", claimedAt - enqueuedAt, 0);
      queue.claimed(tasks);
      const completingAt = nowNs();
      const { results } = await connection.settle(tasks.map(completionOf));
      const completedAt = nowNs();
      const failed = queue.allCompleted(results);
      if (failed !== undefined) throw new Error(failed);
      tally.took("complete", completedAt - completingAt, 0);
      tally.took("cycle", completedAt - startedAt, tasks.length);
    } catch (error) {
      await tally.failed(error, startedAt);
    }
  };
  await queue.fillTo(depth, signal);
  await stopwatch.time((isOver) => callInLoops(concurrency, isOver, step));
}
