import { nowNs } from "../nano-clock.ts";
import { callInLoops } from "./callers.ts";
import { type BenchTurn, StretchSize } from "./workload.ts";

/** Enqueues alone; what a stretch added is claimed and completed before the next one, outside of what is measured. */
export async function enqueueWorkload(turn: BenchTurn): Promise<void> {
  const { connection, queue, settings, tally, stopwatch, signal } = turn;
  const { concurrency, batch, depth } = settings;
  const size = new StretchSize(settings);
  await queue.fillTo(depth, signal);
  while (!stopwatch.isOver) {
    let left = size.tasks;
    const one = async () => {
      const item = queue.nextItem();
      const startedAt = nowNs();
      try {
        const { id } = await connection.enqueue(item);
        tally.took("enqueue", nowNs() - startedAt, 1);
        queue.enqueued(id);
      } catch (error) {
        await tally.failed(error, startedAt);
      }
    };
    const many = async () => {
      const items = queue.nextItems(batch);
      const startedAt = nowNs();
      try {
        const answers = await connection.enqueueMany(items);
        const durationNs = nowNs() - startedAt;
        tally.took("enqueue", durationNs, queue.allEnqueued(answers));
      } catch (error) {
        await tally.failed(error, startedAt);
      }
    };
    const step = batch === 1 ? one : many;
    const [before, secondsBefore] = [tally.operations, stopwatch.seconds];
    await stopwatch.time((isOver, leave) =>
      callInLoops(
        concurrency,
        () => left <= leave * size.tasks || isOver(),
        () => {
          left -= batch;
          return step();
        },
      ),
    );
    size.learn(tally.operations - before, stopwatch.seconds - secondsBefore);
    await queue.complete(await queue.takeDownTo(depth, signal));
  }
}
