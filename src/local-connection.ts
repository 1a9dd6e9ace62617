import type { Broker } from "./broker/broker.ts";
import { mark } from "./claim-marks.ts";
import {
  claimedTaskMessage,
  enqueueAnswer,
  errorMessage,
  queueListItem,
  queueMessage,
  resultAnswer,
  taskMessage,
} from "./protocol/json.ts";
import type {
  ClaimBody,
  ClaimedTaskMessage,
  EnqueueAnswer,
  EnqueueItemAnswer,
  HeartbeatItemAnswer,
  HeartbeatsBody,
  ListAnswer,
  QueueMessage,
  QueuePatchBody,
  ResultAnswer,
  SettledAnswer,
  SettleItemAnswer,
  TaskMessage,
} from "./protocol/messages.ts";
import {
  claimAsk,
  type EnqueueAsk,
  eachInPlace,
  enqueueAsk,
  heartbeatAsks,
  listAsk,
  settleAsks,
  taskIdOf,
} from "./protocol/requests.ts";
import { check } from "./protocol/validate.ts";
import type { Connection, EnqueueItem, ListQuery, OutcomeItem, SettleReply } from "./sdk/connection.ts";
import { DibsError, InternalError } from "./task/errors.ts";
import type { QueueName } from "./task/ids.ts";
import { LIMITS } from "./task/limits.ts";
import type { TaskState } from "./task/task.ts";

/**
 * A broker in this process behind the door that HTTP has: the same checks, the same objects, the same errors,
 * and no network between.
 */
export class LocalConnection implements Connection {
  readonly place: string;
  readonly #broker: Broker;

  /** The connection owns the broker: closing it closes the broker and its engine. */
  constructor(broker: Broker, place: string) {
    this.#broker = broker;
    this.place = place;
  }

  enqueue(item: EnqueueItem): Promise<EnqueueAnswer> {
    return told(async () => {
      const { task, deduplicated } = await this.#broker.enqueue(askOf(item));
      return enqueueAnswer(task, deduplicated);
    });
  }

  enqueueMany(items: readonly EnqueueItem[]): Promise<EnqueueItemAnswer[]> {
    return told(async () => {
      const asks = items.map(askOf);
      const answers: EnqueueItemAnswer[] = [];
      // In steps, so that a long list neither fills memory twice nor keeps the event loop to itself.
      for (let start = 0; start < asks.length; start += LIMITS.batchMax) {
        const outcomes = await this.#broker.enqueueMany(asks.slice(start, start + LIMITS.batchMax));
        for (const outcome of outcomes) {
          answers.push(outcome instanceof DibsError ? refused(outcome) : accepted(outcome));
        }
      }
      return answers;
    });
  }

  task(id: string): Promise<TaskMessage> {
    return told(async () => taskMessage(await this.#broker.get(taskIdOf(id))));
  }

  result(id: string, waitMs: number, signal?: AbortSignal): Promise<ResultAnswer> {
    return told(async () => {
      check("ResultQuery", { waitMs }, "query");
      signal?.throwIfAborted();
      const task = await this.#broker.result(taskIdOf(id), waitMs, signal);
      signal?.throwIfAborted();
      return resultAnswer(task);
    }, signal);
  }

  cancel(id: string): Promise<TaskMessage> {
    return told(async () => taskMessage(await this.#broker.cancel(taskIdOf(id))));
  }

  requeue(id: string): Promise<TaskMessage> {
    return told(async () => taskMessage(await this.#broker.requeue(taskIdOf(id))));
  }

  forceRelease(id: string): Promise<SettledAnswer> {
    return told(() => this.#broker.forceRelease(taskIdOf(id)));
  }

  claim(body: ClaimBody, signal?: AbortSignal): Promise<ClaimedTaskMessage[]> {
    return told(async () => {
      mark("checking", body);
      const ask = claimAsk(check("ClaimBody", body));
      mark("checked", body);
      signal?.throwIfAborted();
      const tasks = await this.#broker.claim(ask, signal);
      mark("resumed", body);
      if (tasks.length === 0) signal?.throwIfAborted();
      const messages = tasks.map(claimedTaskMessage);
      mark("told", body);
      return messages;
    }, signal);
  }

  settle(
    outcomes: readonly OutcomeItem[],
    claim?: ClaimBody,
    signal?: () => AbortSignal,
  ): Promise<SettleReply> {
    return told(async () => {
      const results = outcomes.map((outcome) => outcome.resultJson);
      const items = outcomes.map(shownItem);
      const body = check(
        "SettleBody",
        claim === undefined ? { outcomes: items } : { outcomes: items, claim },
      );
      const next = body.claim === undefined ? undefined : claimAsk(body.claim);
      let tasks: ClaimedTaskMessage[] = [];
      const settled = await eachInPlace(settleAsks(body, results), async (asks) => {
        const reply = await this.#broker.settle(asks, next, next?.waitMs ? signal?.() : undefined);
        tasks = reply.tasks.map(claimedTaskMessage);
        return reply.results;
      });
      return {
        results: settled.map((item, index) => settleItem(body.outcomes[index]?.id ?? "", item)),
        tasks,
      };
    });
  }

  heartbeats(body: HeartbeatsBody): Promise<HeartbeatItemAnswer[]> {
    return told(async () => {
      const asks = heartbeatAsks(check("HeartbeatsBody", body));
      const beaten = await eachInPlace(asks, (sound) => this.#broker.heartbeat(sound));
      return beaten.map((item, index) => {
        const id = body.leases[index]?.id ?? "";
        return item instanceof DibsError
          ? { id, error: errorMessage(item) }
          : { id, expiresAt: item.expiresAt };
      });
    });
  }

  queues(): Promise<QueueMessage[]> {
    return told(async () => (await this.#broker.queues()).map(queueListItem));
  }

  queue(name: string): Promise<QueueMessage> {
    return told(async () => queueMessage(await this.#broker.queue(queueNameOf(name))));
  }

  configure(name: string, patch: QueuePatchBody): Promise<QueueMessage> {
    return told(async () => {
      const queue = queueNameOf(name);
      return queueMessage(await this.#broker.configure(queue, check("QueuePatchBody", patch)));
    });
  }

  pause(name: string): Promise<QueueMessage> {
    return told(async () => queueMessage(await this.#broker.pause(queueNameOf(name))));
  }

  resume(name: string): Promise<QueueMessage> {
    return told(async () => queueMessage(await this.#broker.resume(queueNameOf(name))));
  }

  list(name: string, query: ListQuery): Promise<ListAnswer> {
    return told(async () => {
      const queue = queueNameOf(name);
      const page = await this.#broker.list(queue, listAsk(check("ListQuery", query, "query")));
      const tasks = page.tasks.map(taskMessage);
      return page.cursor === undefined ? { tasks } : { tasks, cursor: page.cursor };
    });
  }

  requeueDead(name: string, limit?: number): Promise<number> {
    return told(() => {
      const queue = queueNameOf(name);
      const body = check("RequeueBody", limit === undefined ? { state: "dead" } : { state: "dead", limit });
      return this.#broker.requeueDead(queue, body.limit ?? LIMITS.requeueMax);
    });
  }

  purge(name: string, state: TaskState): Promise<number> {
    return told(() => {
      const queue = queueNameOf(name);
      const { state: purged } = check("PurgeQuery", { state }, "query");
      return this.#broker.purge(queue, purged as Exclude<TaskState, "leased">);
    });
  }

  close(): Promise<void> {
    return this.#broker.close();
  }
}

/**
 * Runs a call and lets only `DibsError`s out, as HTTP does; a caller's own abort is not an error of ours.
 */
async function told<Answer>(call: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof DibsError || (signal?.aborted && error === signal.reason)) throw error;
    throw new InternalError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function askOf({ payloadJson, ...body }: EnqueueItem): EnqueueAsk {
  return enqueueAsk(check("EnqueueBody", body), payloadJson);
}

/** A result stands for its text, so that it is missed where it must not be. Rest and spread would cost a microsecond. */
function shownItem(item: OutcomeItem): Omit<OutcomeItem, "resultJson"> & { result?: null } {
  if (item.resultJson === undefined) return item;
  const { resultJson: _, ...rest } = item;
  return { ...rest, result: null };
}

function queueNameOf(name: string): QueueName {
  return check("QueueParams", { queue: name }, "path").queue as QueueName;
}

function accepted({ task, deduplicated }: Awaited<ReturnType<Broker["enqueue"]>>): EnqueueItemAnswer {
  const { deduplicated: _, ...message } = enqueueAnswer(task, deduplicated);
  return deduplicated ? { task: message, deduplicated } : { task: message };
}

function refused(error: DibsError): EnqueueItemAnswer {
  return { error: errorMessage(error) };
}

function settleItem(id: string, item: SettledAnswer | DibsError): SettleItemAnswer {
  return item instanceof DibsError ? { id, error: errorMessage(item) } : item;
}
