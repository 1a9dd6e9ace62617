import type { QueueMessage, TaskMessage } from "../../src/protocol/messages.ts";
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

const TRIES = 100;

/**
 * Lists every task of every state. Leases end and due tasks become ready meanwhile, so it looks until the counts
 * before and after are the same: without clients, states only go one way, so then nothing has moved.
 */
export async function takeSnapshot(http: Http): Promise<Snapshot> {
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const from = Date.now();
    const before = await queuesOf(http);
    const tasks: TaskMessage[] = [];
    for (const { queue } of before) tasks.push(...(await tasksOf(http, queue)));
    const after = await queuesOf(http);
    if (JSON.stringify(countsOf(before)) === JSON.stringify(countsOf(after)))
      return { queues: after, tasks, from, to: Date.now() };
  }
  throw new Error(`The counts moved during each of ${TRIES} looks, without a client`);
}

async function queuesOf(http: Http): Promise<readonly QueueMessage[]> {
  const { status, body } = await http.get("/v1/queues");
  if (status !== 200) throw new Error(`GET /v1/queues was answered ${status}`);
  return (body as { queues: QueueMessage[] }).queues;
}

function countsOf(queues: readonly QueueMessage[]): object {
  return queues.map(({ queue, counts, enqueued, pruned }) => ({ queue, counts, enqueued, pruned }));
}

async function tasksOf(http: Http, queue: string): Promise<TaskMessage[]> {
  const tasks: TaskMessage[] = [];
  for (const state of TASK_STATES) {
    let cursor: string | undefined;
    do {
      const next = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const { status, body } = await http.get(`/v1/queues/${queue}/tasks?state=${state}&limit=200${next}`);
      if (status !== 200) throw new Error(`The listing of ${queue} ${state} was answered ${status}`);
      const page = body as { tasks: TaskMessage[]; cursor?: string };
      tasks.push(...page.tasks);
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
  return tasks;
}
