import type {
  ClaimBody,
  ClaimedTaskMessage,
  EnqueueAnswer,
  EnqueueItemAnswer,
  ErrorMessage,
  HeartbeatItemAnswer,
  HeartbeatsBody,
  ListAnswer,
  QueueMessage,
  QueuePatchBody,
  ResultAnswer,
  SettledAnswer,
  TaskMessage,
} from "../protocol/messages.ts";
import type { DibsError } from "../task/errors.ts";
import type { TaskState } from "../task/task.ts";
import type { Connection, EnqueueItem, ListQuery, OutcomeItem, SettleReply } from "./connection.ts";
import { batches } from "./enqueue-batches.ts";
import { HttpTransport, type HttpTransportOptions } from "./http-transport.ts";
import { withJsonField } from "./json-text.ts";

/** A server over HTTP. Each method is one route of `docs/protocol.md`. */
export class HttpConnection implements Connection {
  readonly place: string;
  readonly #http: HttpTransport;

  constructor(base: URL, options: HttpTransportOptions = {}) {
    this.#http = new HttpTransport(base, options);
    this.place = this.#http.place;
  }

  async enqueue(item: EnqueueItem): Promise<EnqueueAnswer> {
    const repeatable = item.idempotencyKey !== undefined;
    return this.#post("/v1/tasks", itemText(item), { repeatable });
  }

  async enqueueMany(items: readonly EnqueueItem[]): Promise<EnqueueItemAnswer[]> {
    const answers: EnqueueItemAnswer[] = [];
    let failed: DibsError | undefined;
    for (const batch of batches(items.map(itemText))) {
      failed ??= await this.#enqueueBatch(items, batch, answers);
      if (failed !== undefined && answers.length === 0) throw failed;
      while (answers.length < batch.end) answers.push({ error: messageOf(failed as DibsError) });
    }
    return answers;
  }

  /** Sends one batch and adds its answers; gives the error when it failed as a whole. */
  async #enqueueBatch(
    items: readonly EnqueueItem[],
    batch: { start: number; end: number; texts: readonly string[] },
    answers: EnqueueItemAnswer[],
  ): Promise<DibsError | undefined> {
    const repeatable = items.slice(batch.start, batch.end).every((item) => item.idempotencyKey !== undefined);
    try {
      const body = `{"tasks":[${batch.texts.join(",")}]}`;
      const { results } = await this.#post<{ results: EnqueueItemAnswer[] }>("/v1/tasks/batch", body, {
        repeatable,
      });
      answers.push(...results);
      return undefined;
    } catch (error) {
      const failed = error as DibsError;
      if (failed.code !== "payload_too_large" || batch.texts.length > 1) return failed;
      // An item larger than a whole request is refused alone, like one that is larger than a payload may be.
      answers.push({ error: messageOf(failed) });
      return undefined;
    }
  }

  task(id: string): Promise<TaskMessage> {
    return this.#get(taskPath(id));
  }

  result(id: string, waitMs: number, signal?: AbortSignal): Promise<ResultAnswer> {
    return this.#get(`${taskPath(id)}/result?waitMs=${waitMs}`, { waitMs, signal });
  }

  cancel(id: string): Promise<TaskMessage> {
    return this.#post(`${taskPath(id)}/cancel`);
  }

  requeue(id: string): Promise<TaskMessage> {
    return this.#post(`${taskPath(id)}/requeue`);
  }

  forceRelease(id: string): Promise<SettledAnswer> {
    return this.#post(`${taskPath(id)}/release`, '{"force":true}');
  }

  async claim(body: ClaimBody, signal?: AbortSignal): Promise<ClaimedTaskMessage[]> {
    const waitMs = body.waitMs ?? 0;
    const answer = await this.#post<{ tasks: ClaimedTaskMessage[] } | undefined>(
      "/v1/claims",
      JSON.stringify(body),
      { waitMs, signal },
    );
    return answer?.tasks ?? [];
  }

  settle(
    outcomes: readonly OutcomeItem[],
    claim?: ClaimBody,
    signal?: () => AbortSignal,
  ): Promise<SettleReply> {
    const texts = outcomes.map(({ resultJson, ...rest }) =>
      withJsonField(JSON.stringify(rest), "result", resultJson),
    );
    const body = withJsonField(
      `{"outcomes":[${texts.join(",")}]}`,
      "claim",
      claim === undefined ? undefined : JSON.stringify(claim),
    );
    return this.#post("/v1/settle", body, { waitMs: claim?.waitMs ?? 0, signal: signal?.() });
  }

  async heartbeats(body: HeartbeatsBody, signal?: AbortSignal): Promise<HeartbeatItemAnswer[]> {
    const text = JSON.stringify(body);
    const answer = await this.#post<{ results: HeartbeatItemAnswer[] }>("/v1/heartbeats", text, { signal });
    return answer.results;
  }

  async queues(): Promise<QueueMessage[]> {
    return (await this.#get<{ queues: QueueMessage[] }>("/v1/queues")).queues;
  }

  queue(name: string): Promise<QueueMessage> {
    return this.#get(queuePath(name));
  }

  async configure(name: string, patch: QueuePatchBody): Promise<QueueMessage> {
    const call = {
      method: "PATCH",
      path: queuePath(name),
      body: JSON.stringify(patch),
      repeatable: true,
    } as const;
    return (await this.#http.send(call)).body as QueueMessage;
  }

  pause(name: string): Promise<QueueMessage> {
    return this.#post(`${queuePath(name)}/pause`, undefined, { repeatable: true });
  }

  resume(name: string): Promise<QueueMessage> {
    return this.#post(`${queuePath(name)}/resume`, undefined, { repeatable: true });
  }

  list(name: string, query: ListQuery): Promise<ListAnswer> {
    const search = new URLSearchParams({ state: query.state });
    if (query.cursor !== undefined) search.set("cursor", query.cursor);
    if (query.limit !== undefined) search.set("limit", String(query.limit));
    return this.#get(`${queuePath(name)}/tasks?${search}`);
  }

  async requeueDead(name: string, limit?: number): Promise<number> {
    const body = JSON.stringify({ state: "dead", limit });
    return (await this.#post<{ requeued: number }>(`${queuePath(name)}/requeue`, body)).requeued;
  }

  async purge(name: string, state: TaskState): Promise<number> {
    const path = `${queuePath(name)}/tasks?state=${state}`;
    return ((await this.#http.send({ method: "DELETE", path })).body as { deleted: number }).deleted;
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  async #get<Answer>(
    path: string,
    how: { waitMs?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<Answer> {
    return (await this.#http.send({ method: "GET", path, repeatable: true, ...how })).body as Answer;
  }

  async #post<Answer>(
    path: string,
    body?: string,
    how: { waitMs?: number; signal?: AbortSignal | undefined; repeatable?: boolean } = {},
  ): Promise<Answer> {
    const call = { method: "POST", path, ...(body !== undefined && { body }), ...how } as const;
    return (await this.#http.send(call)).body as Answer;
  }
}

function itemText({ payloadJson, ...rest }: EnqueueItem): string {
  return withJsonField(JSON.stringify(rest), "payload", payloadJson);
}

// Ids and names go into the path as they are given: the server answers what is wrong with them.
function taskPath(id: string): string {
  return `/v1/tasks/${encodeURIComponent(id)}`;
}

function queuePath(name: string): string {
  return `/v1/queues/${encodeURIComponent(name)}`;
}

function messageOf(error: DibsError): ErrorMessage {
  return { code: error.code, message: error.message, details: { ...error.details } };
}
