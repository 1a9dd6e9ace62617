import type { Connection } from "../../sdk/connection.ts";
import { QueueNotFoundError } from "../../task/errors.ts";
import type { QueueName } from "../../task/ids.ts";

/** Removes all tasks of a queue, also those that somebody holds; of the queue itself its name stays. */
export async function emptyQueue(connection: Connection, queue: QueueName): Promise<void> {
  try {
    await emptyFound(connection, queue);
  } catch (error) {
    // Nothing was ever enqueued to it.
    if (!(error instanceof QueueNotFoundError)) throw error;
  }
}

async function emptyFound(connection: Connection, queue: QueueName): Promise<void> {
  for (;;) {
    const { tasks } = await connection.list(queue, { state: "leased", limit: 200 });
    if (tasks.length === 0) break;
    // One that ended in this moment is no longer leased, which is what is wanted.
    await Promise.allSettled(tasks.map(({ id }) => connection.forceRelease(id)));
  }
  for (const state of ["ready", "scheduled", "completed", "dead", "cancelled"] as const)
    await connection.purge(queue, state);
}
