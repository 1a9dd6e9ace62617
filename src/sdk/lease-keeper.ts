import type { HeartbeatItemAnswer } from "../protocol/messages.ts";
import { errorFromCode, LeaseLostError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import type { Connection } from "./connection.ts";
import { withDeadline } from "./deadline.ts";
import type { AbortCode } from "./errors.ts";
import type { HeldTask } from "./held-task.ts";

export interface LeaseKeeperOptions {
  readonly graceMs: number;
  readonly stuckMs: number;
}

/** What the keeper decides, for the worker to act on. */
export interface LeaseKeeperActions {
  /** The task is no longer ours: `lease-lost` or `cancelled`. */
  lost(held: HeldTask, code: AbortCode, message: string): void;
  /** The attempt is over by the clock: its handler must stop. */
  timedOut(held: HeldTask): void;
  /** The handler had its grace after the abort and still runs: its claim ends without it. */
  graceIsOver(held: HeldTask): void;
  stuck(held: HeldTask): void;
  blocked(queues: readonly string[], blockedMs: number): void;
  failed(error: Error): void;
}

/** Looks at the held tasks at least so many times per lease. */
const LOOKS_PER_LEASE = 12;
/** A block of the event loop is told when it is longer than this part of the shortest lease. */
const BLOCKED_PART = 1 / 3;
/** Tasks whose heartbeat is due within this part of their lease travel with the one that is due now. */
const TOGETHER_PART = 1 / 6;
const LOOK_MS_MIN = 10;
const BEAT_MS_MIN = 500;

/**
 * Keeps the leases of all held tasks with as few calls as it can, and watches what may go wrong with them:
 * leases that are not confirmed, attempts that take too long, handlers that do not react, an event loop that
 * stands still.
 *
 * One timer serves all tasks. It runs only while tasks are held, and taking or ending a short task does not
 * touch it.
 */
export class LeaseKeeper {
  readonly #connection: Connection;
  readonly #options: LeaseKeeperOptions;
  readonly #actions: LeaseKeeperActions;
  readonly #held = new Set<HeldTask>();
  #timer: NodeJS.Timeout | undefined;
  #lookAt = Number.POSITIVE_INFINITY;
  #lookedAt = 0;
  /** Queues of tasks that ended since the last look. */
  readonly #recentQueues = new Set<string>();
  #beatsSettling = true;

  constructor(connection: Connection, options: LeaseKeeperOptions, actions: LeaseKeeperActions) {
    this.#connection = connection;
    this.#options = options;
    this.#actions = actions;
  }

  /** Watches a task until `remove`. */
  add(held: HeldTask): void {
    if (this.#held.size === 0) {
      this.#lookedAt = performance.now();
      this.#timer?.ref();
    }
    this.#held.add(held);
    this.lookBy(this.#nextLook(held, held.receivedAt));
  }

  remove(held: HeldTask): void {
    this.#recentQueues.add(held.task.queue);
    if (this.#held.size === 1) this.#reportBlock(performance.now());
    this.#held.delete(held);
    // The timer runs on: tasks come and go many times a second. Meanwhile it keeps no process alive.
    if (this.#held.size === 0) this.#timer?.unref();
  }

  /** A block of the event loop that was told already. */
  blockWasTold(): void {
    this.#lookedAt = performance.now();
  }

  /** Looks again at once: instants of a task have moved closer. */
  lookAgain(): void {
    if (this.#held.size > 0) this.lookBy(performance.now());
  }

  /** Looks at that instant, unless it looks earlier anyway. */
  lookBy(at: number): void {
    if (at >= this.#lookAt) return;
    clearTimeout(this.#timer);
    this.#lookAt = at;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, Math.ceil(at - performance.now())));
  }

  /** From now on outcomes that could not be sent have only the rest of their leases. */
  stopBeatingSettling(): void {
    this.#beatsSettling = false;
  }

  /** Extends one lease now, at its handler's wish, and gives its new end in epoch milliseconds. */
  async beat(held: HeldTask, leaseMs?: number): Promise<number> {
    if (held.stage === "ended") throw this.#lostError(held);
    const sentAt = performance.now();
    const { id, lease } = held.task;
    const beat = { id, leaseToken: lease.token, ...(leaseMs !== undefined && { leaseMs }) };
    const [answer] = await this.#connection.heartbeats({ leases: [beat] });
    const item = answer as HeartbeatItemAnswer;
    this.#take(held, item, sentAt, leaseMs ?? lease.ms);
    if (!("error" in item)) return item.expiresAt;
    const { code, message, details } = item.error;
    throw errorFromCode(code, message, details === undefined ? {} : { details });
  }

  #look(): void {
    this.#timer = undefined;
    this.#lookAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    this.#reportBlock(now);
    let mayBeLost = false;
    const due: HeldTask[] = [];
    for (const held of this.#held) {
      if (held.stage !== "ended") mayBeLost ||= now >= trustEnds(held);
      this.#endOverdue(held, now);
      if (this.#wantsBeat(held, now)) due.push(held);
    }
    this.#beatAll(due, now);
    // Answers of heartbeats may wait in the sockets when the loop stood still: they are read first.
    if (mayBeLost) setImmediate(() => this.#endUntrusted());
    this.#planNextLook(now);
  }

  #endOverdue(held: HeldTask, now: number): void {
    if (held.stage === "open" && held.aborted === undefined && now >= held.timeoutAt) {
      this.#actions.timedOut(held);
    }
    if (held.stage === "open" && now >= held.abortedAt + this.#options.graceMs) {
      this.#actions.graceIsOver(held);
    }
    if (held.isRunning && !held.isReportedStuck && now >= held.abortedAt + this.#options.stuckMs) {
      held.isReportedStuck = true;
      this.#actions.stuck(held);
    }
  }

  #endUntrusted(): void {
    const now = performance.now();
    for (const held of this.#held) {
      if (held.stage !== "ended" && now >= trustEnds(held)) {
        const heldMs = Math.round(now - held.receivedAt);
        this.#actions.lost(
          held,
          "lease-lost",
          `The lease on task ${held.task.id} was not confirmed in time; it was received ${heldMs} ms ago`,
        );
      }
    }
  }

  #wantsBeat(held: HeldTask, now: number): boolean {
    if (held.isBeating || held.stage === "ended") return false;
    if (held.stage === "settling" && !this.#beatsSettling) return false;
    return now >= held.beatAt - held.task.lease.ms * TOGETHER_PART;
  }

  /** Beats when at least one is due; those that will be soon come along. */
  #beatAll(soon: readonly HeldTask[], now: number): void {
    if (!soon.some((held) => now >= held.beatAt)) return;
    for (let start = 0; start < soon.length; start += LIMITS.batchMax) {
      void this.#beatBatch(soon.slice(start, start + LIMITS.batchMax));
    }
  }

  async #beatBatch(batch: readonly HeldTask[]): Promise<void> {
    const sentAt = performance.now();
    for (const held of batch) held.isBeating = true;
    const leases = batch.map(({ task }) => ({ id: task.id, leaseToken: task.lease.token }));
    const shortestMs = Math.min(...batch.map(({ task }) => task.lease.ms));
    try {
      const answers = await withDeadline((signal) => this.#connection.heartbeats({ leases }, signal()), {
        ms: Math.max(BEAT_MS_MIN, shortestMs * RETRIED_PART),
        what: "A heartbeat",
        late: () => {},
      });
      batch.forEach((held, index) => {
        this.#take(held, answers[index] as HeartbeatItemAnswer, sentAt, held.task.lease.ms);
      });
    } catch (error) {
      const again = performance.now() + (shortestMs / LOOKS_PER_LEASE) * (0.5 + Math.random());
      for (const held of batch) held.beatAgainAt(again);
      this.#actions.failed(error as Error);
    } finally {
      for (const held of batch) held.isBeating = false;
      if (this.#held.size > 0) this.#planNextLook(performance.now());
    }
  }

  #take(held: HeldTask, answer: HeartbeatItemAnswer, sentAt: number, ms: number): void {
    if (!("error" in answer)) {
      held.renewed(sentAt, ms);
      return;
    }
    const { code, message, details } = answer.error;
    if (code !== "lease_lost" && code !== "task_not_found") {
      held.beatAgainAt(performance.now() + ms / LOOKS_PER_LEASE);
      return;
    }
    // While its outcome travels, the answer to that says what became of it: it may have ended the lease.
    if (held.stage !== "open") return;
    const { state } = (details ?? {}) as { state?: string };
    this.#actions.lost(held, state === "cancelled" ? "cancelled" : "lease-lost", message);
  }

  /** The loop came here later than planned: a handler that runs, or has just ended, kept it. */
  #reportBlock(now: number): void {
    const shortestMs = this.#shortestLeaseMs();
    const blockedMs = now - this.#lookedAt - shortestMs / LOOKS_PER_LEASE;
    this.#lookedAt = now;
    if (blockedMs > shortestMs * BLOCKED_PART) {
      for (const { task } of this.#held) this.#recentQueues.add(task.queue);
      this.#actions.blocked([...this.#recentQueues], Math.round(blockedMs));
    }
    this.#recentQueues.clear();
  }

  #shortestLeaseMs(): number {
    let shortest: number = LIMITS.leaseMsMax;
    for (const { task } of this.#held) shortest = Math.min(shortest, task.lease.ms);
    return shortest;
  }

  #planNextLook(now: number): void {
    let next = Number.POSITIVE_INFINITY;
    for (const held of this.#held) next = Math.min(next, this.#nextLook(held, now));
    this.lookBy(next);
  }

  /** When a task needs the next look. */
  #nextLook(held: HeldTask, now: number): number {
    const regular = now + held.task.lease.ms / LOOKS_PER_LEASE;
    let next = Math.min(regular, held.aborted === undefined ? held.timeoutAt : Number.POSITIVE_INFINITY);
    if (held.stage !== "ended") {
      next = Math.min(next, trustEnds(held));
      if (!held.isBeating) next = Math.min(next, held.beatAt);
    }
    if (held.stage === "open") next = Math.min(next, held.abortedAt + this.#options.graceMs);
    return Math.max(next, now + LOOK_MS_MIN);
  }

  #lostError(held: HeldTask): LeaseLostError {
    const { id } = held.task;
    return new LeaseLostError(`The lease on task ${id} is no longer this worker's`, { details: { id } });
  }
}

/** A heartbeat that is not back within this part of the lease is sent anew. */
const RETRIED_PART = 1 / 4;

/** An open claim is given up while there is trust left in nobody else having it; an outcome is tried to the end. */
function trustEnds(held: HeldTask): number {
  return held.stage === "open" ? held.trustedUntil : held.leaseEndsAt;
}
