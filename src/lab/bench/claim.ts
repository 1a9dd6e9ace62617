import type { ClaimedTaskMessage } from "../../protocol/messages.ts";
import type { Connection } from "../../sdk/connection.ts";
import { nowNs } from "../nano-clock.ts";
import { LEASE_MS } from "./bench-queue.ts";
import { callInLoops } from "./callers.ts";
import { HeldTasks } from "./held-tasks.ts";
import { type BenchTurn, StretchSize } from "./workload.ts";

/** Only claims are made through this connection. */
type ClaimTurn = Omit<BenchTurn, "connection" | "place"> & { readonly connection: Pick<Connection, "claim"> };

/**
 * Claims alone, from a queue that stays `depth` deep: each stretch is given the tasks that it may claim, and what it
 * claimed is completed and replaced before the next one, outside of what is measured.
 */
export async function claimWorkload(turn: ClaimTurn): Promise<void> {
  const { connection, queue, settings, tally, stopwatch, signal } = turn;
  const { concurrency, batch, depth } = settings;
  const body = { queues: [queue.name], max: batch, leaseMs: LEASE_MS };
  const size = new StretchSize(settings);
  while (!stopwatch.isOver) {
    await queue.fillTo(depth + size.tasks, signal);
    const held = new HeldTasks();
    const given = queue.waiting - depth;
    let left = given;
    const step = async () => {
      left -= batch;
      const startedAt = nowNs();
      let tasks: ClaimedTaskMessage[];
      try {
        tasks = await connection.claim(body);
      } catch (error) {
        return tally.failed(error, startedAt);
      }
      const durationNs = nowNs() - startedAt;
      if (tasks.length === 0) return tally.tookEmpty(durationNs);
      tally.took("claim", durationNs, tasks.length);
      queue.claimed(tasks);
      held.push(tasks);
    };
    const [before, secondsBefore] = [tally.operations, stopwatch.seconds];
    await stopwatch.time((isOver, leave) =>
      callInLoops(concurrency, () => left <= leave * given || isOver(), step),
    );
    size.learn(tally.operations - before, stopwatch.seconds - secondsBefore);
    await queue.complete(held);
  }
}
