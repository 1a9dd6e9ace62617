import type {
  ClaimReply,
  EnqueueOutcome,
  HeartbeatOutcome,
  SettleReply,
  Storage,
} from "../storage/storage.ts";
import type { QueueName } from "../task/ids.ts";
import type { ClaimedTask, EpochMs } from "../task/task.ts";
import type { Calls } from "./calls.ts";
import { type Claim, sendClaims } from "./claim.ts";
import { type EnqueueCall, sendEnqueues } from "./enqueues.ts";
import { type HeartbeatCall, sendHeartbeats } from "./heartbeats.ts";
import { type MergedCall, Merger } from "./merger.ts";
import type { Meters, QueueMeter } from "./meters.ts";
import { MinuteWindow } from "./minute-window.ts";
import { type SettleCall, sendSettles } from "./settle-call.ts";
import type { Turn } from "./turn.ts";
import { WaitingLine } from "./waiting-line.ts";

/** What the lines of all queues share. */
export interface LineSurroundings {
  readonly storage: Storage;
  readonly calls: Calls;
  readonly turn: Turn;
  readonly meters: Meters;
  readonly callsInFlight: number;
  /** Something in the queue comes due at that time. */
  expectDue(queue: QueueName, at: EpochMs): void;
  /** So many tasks of the queue finished. */
  noteFinished(queue: QueueName, count: number): void;
}

/** What the broker holds of one queue: calls that gather, claims that wait, the last minute's durations. */
export class Line {
  readonly queue: QueueName;
  readonly meters: Meters;
  readonly enqueues: Merger<EnqueueCall, readonly EnqueueOutcome[]>;
  readonly claims: Merger<Claim, ClaimReply>;
  readonly settles: Merger<SettleCall, SettleReply>;
  readonly heartbeats: Merger<HeartbeatCall, readonly HeartbeatOutcome[]>;
  readonly waiting: WaitingLine;
  /** How long claims took that brought a task. */
  readonly claimWindow = new MinuteWindow();
  /** How long tasks waited for their claim. */
  readonly waitWindow = new MinuteWindow();
  readonly #around: LineSurroundings;
  #meter: QueueMeter | undefined;

  constructor(queue: QueueName, around: LineSurroundings) {
    this.queue = queue;
    this.meters = around.meters;
    this.#around = around;
    this.waiting = new WaitingLine((waiting) => around.storage.setWaiting(queue, waiting));
    this.enqueues = this.#merger("enqueue", sendEnqueues);
    this.claims = this.#merger("claim", sendClaims);
    this.settles = this.#merger("settle", sendSettles);
    this.heartbeats = this.#merger("heartbeat", sendHeartbeats);
  }

  /** Taken only when there is something to count: a name that somebody made up gets no label. */
  get meter(): QueueMeter {
    this.#meter ??= this.meters.queue(this.queue);
    return this.#meter;
  }

  expectDue(at: EpochMs): void {
    this.#around.expectDue(this.queue, at);
  }

  finished(count: number): void {
    this.#around.noteFinished(this.queue, count);
  }

  /** Tasks were handed out: counts them, and sees to the end of their leases, which is the same for all. */
  claimed(tasks: readonly ClaimedTask[], now: number): void {
    this.meter.claimed += tasks.length;
    for (const { lease, runAt, createdAt } of tasks) {
      // A start in the past, 1970 say, means at once: the wait begins when the task came.
      const waitMs = Math.max(0, lease.claimedAt - Math.max(runAt, createdAt));
      this.meter.waitSeconds.record(waitMs / 1_000);
      this.waitWindow.record(waitMs, now);
    }
    this.expectDue((tasks[0] as ClaimedTask).lease.expiresAt);
  }

  /** True when nothing would be lost with this line. */
  isIdle(now: number): boolean {
    return (
      this.waiting.isIdle &&
      this.enqueues.isIdle &&
      this.claims.isIdle &&
      this.settles.isIdle &&
      this.heartbeats.isIdle &&
      this.claimWindow.isEmpty(now) &&
      this.waitWindow.isEmpty(now)
    );
  }

  #merger<Call extends MergedCall<Reply>, Reply>(
    verb: string,
    send: (storage: Storage, queue: QueueName, calls: readonly Call[]) => Promise<Reply>,
  ): Merger<Call, Reply> {
    const { storage, calls, turn, meters, callsInFlight } = this.#around;
    return new Merger({
      verb,
      meter: meters.verb(verb),
      send: (merged) => send(storage, this.queue, merged),
      calls,
      turn,
      callsInFlight,
    });
  }
}
