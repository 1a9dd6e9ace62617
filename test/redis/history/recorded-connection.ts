import type {
  ClaimBody,
  ClaimedTaskMessage,
  EnqueueItemAnswer,
  ErrorMessage,
} from "../../../src/protocol/messages.ts";
import type { Connection, EnqueueItem, OutcomeItem } from "../../../src/sdk/connection.ts";
import {
  ABORTED,
  type Asked,
  type BeatSent,
  type ClaimSent,
  type EndingSent,
  type EnqueueSent,
  type Grant,
  type Refusal,
  type Reply,
} from "./call.ts";
import type { Recorder } from "./recorder.ts";

/** One participant of a history: whatever it does through this is recorded. */
export class RecordedConnection {
  readonly #connection: Connection;
  readonly #recorder: Recorder;
  readonly who: string;

  constructor(connection: Connection, recorder: Recorder, who: string) {
    this.#connection = connection;
    this.#recorder = recorder;
    this.who = who;
  }

  /** Resolves to the errors that stood in the place of tasks. */
  async enqueue(items: readonly EnqueueSent[]): Promise<readonly ErrorMessage[]> {
    const answers = await this.#recorded({ verb: "enqueue", items }, async () => {
      const enqueued = await this.#connection.enqueueMany(items.map(itemOf));
      return [{ enqueued: enqueued.map(enqueuedReply) }, enqueued];
    });
    return answers.flatMap((answer) => ("error" in answer ? [answer.error] : []));
  }

  claim(claim: ClaimSent, signal?: AbortSignal): Promise<readonly Grant[]> {
    return this.#recorded({ verb: "claim", claim }, async () => {
      const tasks = (await this.#connection.claim(bodyOf(claim, this.who), signal)).map(grantOf);
      return [{ tasks }, tasks];
    });
  }

  settle(endings: readonly EndingSent[], claim?: ClaimSent): Promise<readonly Grant[]> {
    const asked: Asked =
      claim === undefined ? { verb: "settle", endings } : { verb: "settle", endings, claim };
    return this.#recorded(asked, async () => {
      const body = claim === undefined ? undefined : bodyOf(claim, this.who);
      const reply = await this.#connection.settle(endings.map(outcomeOf), body);
      const ended = reply.results.map((each) => ("error" in each ? { error: refusalOf(each.error) } : each));
      const tasks = reply.tasks.map(grantOf);
      return [{ ended, ...(claim !== undefined && { tasks }) }, tasks];
    });
  }

  heartbeat(beats: readonly BeatSent[]): Promise<void> {
    return this.#recorded({ verb: "heartbeat", beats }, async () => {
      const leases = beats.map(({ id, token, leaseMs }) => ({ id, leaseToken: token, leaseMs }));
      const answers = await this.#connection.heartbeats({ leases });
      const beaten = answers.map((each) => ("error" in each ? { error: refusalOf(each.error) } : each));
      return [{ beaten }, undefined];
    });
  }

  /** An operator's: without a token. */
  move(verb: "cancel" | "requeue" | "forceRelease", id: string): Promise<void> {
    return this.#recorded({ verb, id }, async () => {
      const { state } = await this.#connection[verb](id);
      return [{ moved: { state } }, undefined];
    });
  }

  async #recorded<Answer>(asked: Asked, call: () => Promise<readonly [Reply, Answer]>): Promise<Answer> {
    const end = this.#recorder.invoked(this.who, asked);
    try {
      const [reply, answer] = await call();
      end({ reply });
      return answer;
    } catch (error) {
      end({ error: refusalOf(error as ErrorMessage) });
      throw error;
    }
  }
}

function itemOf({ number, ...fields }: EnqueueSent): EnqueueItem {
  return { ...fields, payloadJson: JSON.stringify({ number }) };
}

function enqueuedReply(answer: EnqueueItemAnswer) {
  if ("error" in answer) return { error: refusalOf(answer.error) };
  const { id } = answer.task;
  // One that was removed since, or was there before, has another time than the one that was sent.
  return { id, runAt: "runAt" in answer.task && answer.deduplicated !== true ? answer.task.runAt : 0 };
}

function bodyOf({ queues, max, leaseMs, waitMs }: ClaimSent, worker: string): ClaimBody {
  return { queues: [...queues], max, leaseMs, waitMs, worker };
}

function outcomeOf({ id, token, outcome, delayMs }: EndingSent): OutcomeItem {
  const held = { id, leaseToken: token };
  if (outcome === "refuse") return { ...held, outcome: "nack", retry: false, error: "refused" };
  if (outcome === "nack") return { ...held, outcome, error: "failed", delayMs: delayMs ?? 0 };
  return { ...held, outcome };
}

function grantOf({
  id,
  queue,
  priority,
  payload,
  attempt,
  maxAttempts,
  runAt,
  lease,
}: ClaimedTaskMessage): Grant {
  const { number } = payload as { number: number };
  const { fence, token, claimedAt, expiresAt } = lease;
  return { id, number, queue, priority, attempt, maxAttempts, runAt, fence, token, claimedAt, expiresAt };
}

function refusalOf({ code, message, details }: Partial<ErrorMessage>): Refusal {
  const applied = details?.["applied"];
  return {
    // What the caller aborted rejects with another kind of error, whose code is a number.
    code: typeof code === "string" ? code : ABORTED,
    message: message ?? "",
    ...(typeof applied === "string" && { applied }),
  };
}
