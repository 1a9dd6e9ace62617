import type { ListAnswer, QueueMessage, TaskMessage } from "../../src/protocol/messages.ts";
import type { ListQuery } from "../../src/sdk/connection.ts";
import { TASK_STATES } from "../../src/task/task.ts";
import type { Http } from "./http.ts";

/** Everything that the server shows of its queues and tasks at one moment. */
export interface Snapshot {
  readonly queues: readonly QueueMessage[];
  readonly tasks: readonly TaskMessage[];
  /** Wall clock before and after the look, epoch milliseconds. */
  readonly from: number;
  readonly to: number;
}

/** Where one can look: a connection is one. */
export interface Shown {
  queues(): Promise<readonly QueueMessage[]>;
  list(queue: string, query: ListQuery): Promise<ListAnswer>;
}

const TRIES = 100;

/** {@link lookAt} by HTTP. */
export function takeSnapshot(http: Http): Promise<Snapshot> {
  return lookAt({
    queues: async () => ((await got(http, "/v1/queues")) as { queues: QueueMessage[] }).queues,
    list: async (queue, { state, limit = 200, cursor }) => {
      const next = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = await got(http, `/v1/queues/${queue}/tasks?state=${state}&limit=${limit}${next}`);
      return page as ListAnswer;
    },
  });
}

async function got(http: Http, path: string): Promise<unknown> {
  const { status, body } = await http.get(path);
  if (status !== 200) throw new Error(`GET ${path} was answered ${status}`);
  return body;
}

/**
 * Lists every task of every state. Leases end and due tasks become ready meanwhile, so it looks until the counts
 * before and after are the same: without clients, states only go one way, so then nothing has moved.
 */
export async function lookAt(shown: Shown): Promise<Snapshot> {
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const from = Date.now();
    const before = await shown.queues();
    const tasks: TaskMessage[] = [];
    for (const { queue } of before) tasks.push(...(await tasksOf(shown, queue)));
    const after = await shown.queues();
    if (JSON.stringify(countsOf(before)) === JSON.stringify(countsOf(after)))
      return { queues: after, tasks, from, to: Date.now() };
  }
  throw new Error(`The counts moved during each of ${TRIES} looks, without a client`);
}

function countsOf(queues: readonly QueueMessage[]): object {
  return queues.map(({ queue, counts, enqueued, pruned }) => ({ queue, counts, enqueued, pruned }));
}

async function tasksOf(shown: Shown, queue: string): Promise<TaskMessage[]> {
  const tasks: TaskMessage[] = [];
  for (const state of TASK_STATES) {
    let cursor: string | undefined;
    do {
      const from = cursor === undefined ? {} : { cursor };
      const page: ListAnswer = await shown.list(queue, { state, limit: 200, ...from });
      tasks.push(...page.tasks);
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
  return tasks;
}
