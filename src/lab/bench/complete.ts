import type { SettleReply } from "../../sdk/connection.ts";
import { nowNs } from "../nano-clock.ts";
import { callInLoops } from "./callers.ts";
import { type BenchTurn, StretchSize } from "./workload.ts";

/** Completes alone: each stretch is given tasks that were claimed for it, outside of what is measured. */
export async function completeWorkload(turn: BenchTurn): Promise<void> {
  const { connection, queue, settings, tally, stopwatch, signal } = turn;
  const { concurrency, batch, depth } = settings;
  const size = new StretchSize(settings);
  while (!stopwatch.isOver) {
    await queue.fillTo(depth + size.tasks, signal);
    const held = await queue.takeDownTo(depth, signal);
    const given = held.left;
    const step = async () => {
      const outcomes = held.next(batch);
      const startedAt = nowNs();
      let reply: SettleReply;
      try {
        reply = await connection.settle(outcomes);
      } catch (error) {
        return tally.failed(error, startedAt);
      }
      const durationNs = nowNs() - startedAt;
      const failed = queue.allCompleted(reply.results);
      if (failed !== undefined) return tally.failed(new Error(failed), startedAt);
      tally.took("complete", durationNs, outcomes.length);
    };
    const [before, secondsBefore] = [tally.operations, stopwatch.seconds];
    await stopwatch.time((isOver, leave) =>
      callInLoops(concurrency, () => held.left <= leave * given || isOver(), step),
    );
    size.learn(tally.operations - before, stopwatch.seconds - secondsBefore);
    await queue.complete(held);
  }
}
