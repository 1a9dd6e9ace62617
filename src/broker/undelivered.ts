import type { Settlement } from "../storage/storage.ts";
import { DibsError } from "../task/errors.ts";
import type { QueueName } from "../task/ids.ts";
import type { ClaimedTask } from "../task/task.ts";
import { ManyAnswers } from "./answers.ts";
import { Groups } from "./groups.ts";
import type { Lines } from "./lines.ts";
import type { Logger } from "./logger.ts";
import { SettleCall } from "./settle-call.ts";

/**
 * Gives back what was claimed for somebody who will not receive it: to the head of its queue, the attempt
 * uncounted. When the storage cannot, the lease ends by itself.
 */
export class Undelivered {
  readonly #lines: Lines;
  readonly #logger: Logger;

  constructor(lines: Lines, logger: Logger) {
    this.#lines = lines;
    this.#logger = logger;
  }

  /** Resolves when the tasks are ready again, or their leases are left to expire. */
  async giveBack(tasks: readonly ClaimedTask[]): Promise<void> {
    const answers = new ManyAnswers<unknown>(tasks.length);
    const groups = new Groups<Settlement>();
    for (const [place, task] of tasks.entries()) groups.add(task.queue, release(task), place, 0);
    for (const group of groups.all()) {
      const line = this.#lines.of(group.queue);
      line.settles.add(new SettleCall(line, group.items, group.places, 0, answers));
    }
    const told = await answers.promise.catch((error: unknown) => [error]);
    const error = told.find((answer) => answer instanceof DibsError);
    if (error !== undefined) this.#report(tasks, error);
  }

  #report(tasks: readonly ClaimedTask[], error: unknown): void {
    const queues = new Set<QueueName>(tasks.map((task) => task.queue));
    this.#logger.warn(
      { err: error, tasks: tasks.length, queues: [...queues] },
      "tasks of a vanished caller could not be given back; they come back when their leases end",
    );
  }
}

function release({ id, lease }: ClaimedTask): Settlement {
  return { outcome: "release", id, token: lease.token, undelivered: true };
}
