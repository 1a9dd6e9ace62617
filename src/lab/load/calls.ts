import { DeliveryLedger } from "../delivery.ts";
import { payloadPool } from "../payload.ts";
import { type RawAnswer, rawPost } from "../raw-http.ts";
import type { Ending } from "./event-log.ts";
import { enqueuedIn, expectStatus, numberIn, type TaskOnTheWire, taskIn, timedPayload } from "./wire.ts";

/** A request, and what its answer means. */
export interface Call {
  readonly timed: "enqueue" | "claim" | "complete";
  readonly request: Buffer;
  /** How long the server may wait before it answers. */
  readonly waitMs?: number;
  /** @throws {Error} when the answer is not what was asked for. */
  onAnswer(answer: RawAnswer): Ending;
  /** The call failed in a way that does not tell whether it was carried out. */
  onDoubt?(): void;
}

export interface CallsOptions {
  readonly url: string;
  readonly token?: string;
  readonly queue: string;
  readonly leaseMs: number;
  readonly priorities?: readonly number[];
  readonly delayMs?: readonly [min: number, max: number];
}

const PAYLOADS = payloadPool();
const RESULT = `"result":{"ok":true}`;

/** Makes the calls of one generator on one queue, keeps account of what came of them, and the tasks that it holds. */
export class Calls {
  readonly ledger = new DeliveryLedger();
  /** Fence and id of each claim, in no order. */
  readonly fences: [fence: number, id: string][] = [];
  /** Told of each task that a claim brought. */
  onTask: (task: TaskOnTheWire, answer: RawAnswer) => void = (task) => this.#held.push(task);
  notesFences = false;
  readonly #options: CallsOptions;
  readonly #claim: Buffer;
  /** The oldest first, so that none is held until its lease ends. */
  readonly #held: TaskOnTheWire[] = [];
  readonly #doubtfulCompletions: string[] = [];
  #doubtfulEnqueues = 0;
  #heldFrom = 0;
  #n = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#claim = this.#claimRequest(0);
  }

  /** Enqueues that may or may not have been carried out. */
  get doubtfulEnqueues(): number {
    return this.#doubtfulEnqueues;
  }

  /** Completions that may or may not have been carried out. */
  get doubtfulCompletions(): readonly string[] {
    return this.#doubtfulCompletions;
  }

  /** A third each of enqueues, claims and completions, so that the depth stays. */
  nextOfThree(): Call {
    this.#n += 1;
    if (this.#n % 3 === 0) return this.claim();
    return (this.#n % 3 === 1 ? this.completeHeld() : undefined) ?? this.enqueue();
  }

  /** Claims, and completions of what was claimed. */
  nextOfTwo(): Call {
    this.#n += 1;
    return (this.#n % 2 === 0 ? this.completeHeld() : undefined) ?? this.claim();
  }

  /** `atNs`: written into the payload, by the clock of all processes. */
  enqueue(atNs?: number): Call {
    this.#n += atNs === undefined ? 0 : 1;
    const payload = atNs === undefined ? PAYLOADS[this.#n % PAYLOADS.length] : timedPayload(atNs);
    const body = `{"queue":"${this.#options.queue}",${this.#placing()}"payload":${payload}}`;
    return {
      timed: "enqueue",
      request: this.#post("/v1/tasks", body),
      onAnswer: (answer) => {
        this.ledger.enqueued(enqueuedIn(answer));
        return "done";
      },
      onDoubt: () => {
        this.#doubtfulEnqueues += 1;
      },
    };
  }

  claim(): Call {
    return { timed: "claim", request: this.#claim, onAnswer: (answer) => this.#onClaimed(answer) };
  }

  /** A claim that waits for a task; `request` from {@link parkedRequest}. */
  parkedClaim(request: Buffer, waitMs: number): Call {
    return { timed: "claim", request, waitMs, onAnswer: (answer) => this.#onClaimed(answer) };
  }

  parkedRequest(waitMs: number): Buffer {
    return this.#claimRequest(waitMs);
  }

  complete({ id, token }: TaskOnTheWire): Call {
    return {
      timed: "complete",
      request: this.#post(`/v1/tasks/${id}/complete`, `{"leaseToken":"${token}",${RESULT}}`),
      onAnswer: (answer) => {
        expectStatus(answer, 200);
        this.ledger.completed(id);
        return "done";
      },
      onDoubt: () => {
        this.#doubtfulCompletions.push(id);
      },
    };
  }

  /** Of the task that is held longest; undefined when none is. */
  completeHeld(): Call | undefined {
    const task = this.#held[this.#heldFrom];
    if (task === undefined) return undefined;
    this.#heldFrom += 1;
    if (this.#heldFrom === 1_024) {
      this.#held.splice(0, this.#heldFrom);
      this.#heldFrom = 0;
    }
    return this.complete(task);
  }

  #onClaimed(answer: RawAnswer): Ending {
    if (answer.status === 204) return "empty";
    const task = taskIn(answer);
    this.ledger.claimed(task.id);
    if (this.notesFences) this.fences.push([numberIn(answer, "fence"), task.id]);
    this.onTask(task, answer);
    return "done";
  }

  #placing(): string {
    const { priorities, delayMs } = this.#options;
    const priority = priorities?.[this.#n % priorities.length];
    const delay = delayMs && Math.round(delayMs[0] + Math.random() * (delayMs[1] - delayMs[0]));
    return `${priority === undefined ? "" : `"priority":${priority},`}${delay === undefined ? "" : `"delayMs":${delay},`}`;
  }

  #claimRequest(waitMs: number): Buffer {
    const { queue, leaseMs } = this.#options;
    const wait = waitMs === 0 ? {} : { waitMs };
    return this.#post("/v1/claims", JSON.stringify({ queues: [queue], max: 1, leaseMs, ...wait }));
  }

  #post(path: string, body: string): Buffer {
    return rawPost(this.#options.url, path, body, this.#options.token);
  }
}
