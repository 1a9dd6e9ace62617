import type { ClaimBody, ClaimedTaskMessage, SettledAnswer, SettleItemAnswer } from "../protocol/messages.ts";
import { backoffMs } from "../task/backoff.ts";
import { type DibsError, errorFromCode } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import type { Connection, OutcomeItem, SettleReply } from "./connection.ts";
import { withDeadline } from "./deadline.ts";
import type { Ending } from "./endings.ts";
import type { HeldTask } from "./held-task.ts";
import type { Slots } from "./slots.ts";
import type { WorkerTimings } from "./worker-options.ts";

export interface SettlerActions {
  /** The engine took the ending. */
  settled(held: HeldTask, ending: Ending, answer: SettledAnswer): void;
  /** The engine refused it, because the lease was lost or moved. */
  lost(held: HeldTask, error: DibsError): void;
  /** It can never be sent. */
  unsendable(held: HeldTask, error: DibsError): void;
  /** A call failed and will be made again. */
  failed(error: Error): void;
  /** Tasks that came with the answer; none when it was asked for and there are no more. */
  claimed(tasks: readonly ClaimedTaskMessage[], asked: number): void;
  /** What a call brings that was given up: it must be handed back. */
  late(tasks: readonly ClaimedTaskMessage[]): void;
}

interface Parcel {
  readonly held: HeldTask;
  ending: Ending;
  bytes: number;
  /** It was sent, and nobody knows whether it arrived. */
  isRepeated: boolean;
  /** It was refused in the company of others: it goes alone. */
  isAlone: boolean;
}

/**
 * Calls in flight. Beyond these, endings wait for an answer and travel together: no timer, batches form by
 * themselves under load. Measured over HTTP with 50 handlers of 0 to 10 ms on a busy machine of two cores: with
 * 2 calls 5.9 to 8.1 thousand tasks/s, with 4 and 8 less (5.4 to 3.9), with one about the same but an ending
 * that just misses a call waits for all of it.
 */
const CALLS_IN_FLIGHT_MAX = 2;
/**
 * The tasks in hand share the calls equally, so that the endings of one half are dealt with here while those of the
 * other are there. Fewer than these are not worth a call more.
 */
const SHARE_MIN = 16;
/** Braces, names, and the claim that travels along. */
const ENVELOPE_BYTES = 4_096;
const ITEM_BYTES = 512;
const CALL_MS_MIN = 1_000;

/**
 * Sends the ends of claims and asks for the next tasks in the same call.
 *
 * Handlers that end in one turn of the event loop travel together. A settle never waits for tasks: its claim
 * has no `waitMs`. What could not be sent is sent again, without a claim, until its lease ends.
 */
export class Settler {
  readonly #connection: Connection;
  readonly #claim: ClaimBody;
  readonly #slots: Slots;
  readonly #timings: WorkerTimings;
  readonly #actions: SettlerActions;
  /** One where one task runs at a time: tasks that are claimed by one call after the other come in their order. */
  readonly #callsInFlight: number;
  #waiting: Parcel[] = [];
  #inFlight = 0;
  #failures = 0;
  #isScheduled = false;
  /** The event loop has turned since endings left last. */
  #hasTurned = true;
  #pause: NodeJS.Timeout | undefined;
  #claims = true;

  constructor(
    connection: Connection,
    claim: ClaimBody,
    slots: Slots,
    timings: WorkerTimings,
    actions: SettlerActions,
  ) {
    this.#connection = connection;
    this.#claim = claim;
    this.#slots = slots;
    this.#timings = timings;
    this.#actions = actions;
    this.#callsInFlight = Math.min(CALLS_IN_FLIGHT_MAX, slots.size);
  }

  add(held: HeldTask, ending: Ending): void {
    held.stage = "settling";
    const bytes = ITEM_BYTES + sizeOf(ending.resultJson) + sizeOf(ending.error);
    this.#waiting.push({ held, ending, bytes, isRepeated: false, isAlone: false });
    this.#schedule();
  }

  /** From now on no tasks are asked for. */
  stopClaiming(): void {
    this.#claims = false;
  }

  stop(): void {
    clearTimeout(this.#pause);
    this.#waiting = [];
  }

  /**
   * Once all has run that is ready to run: what ends in that goes together. A second time only after the event loop has
   * turned: an engine in this process answers so soon that it would never turn otherwise.
   */
  #schedule(): void {
    if (this.#isScheduled || this.#pause !== undefined) return;
    this.#isScheduled = true;
    if (!this.#hasTurned) setImmediate(this.#leave);
    else process.nextTick(this.#leave);
  }

  readonly #leave = (): void => {
    this.#isScheduled = false;
    if (this.#hasTurned) {
      this.#hasTurned = false;
      setImmediate(this.#turned);
    }
    this.#flush();
  };

  readonly #turned = (): void => {
    this.#hasTurned = true;
  };

  #flush(): void {
    while (this.#inFlight < this.#callsInFlight && this.#pause === undefined) {
      const batch = this.#nextBatch();
      if (batch.length === 0) return;
      void this.#send(batch);
    }
  }

  /** The next parcels that fit into one call. Those whose claim has ended meanwhile are left out. */
  #nextBatch(): Parcel[] {
    const batch: Parcel[] = [];
    const share = Math.ceil(this.#slots.taken / this.#callsInFlight);
    const most = Math.min(LIMITS.batchMax, Math.max(SHARE_MIN, share));
    let bytes = ENVELOPE_BYTES;
    let taken = 0;
    for (const parcel of this.#waiting) {
      if (parcel.held.stage !== "ended") {
        const isFull = batch.length === most || bytes + parcel.bytes > LIMITS.bodyBytesMax;
        if (batch.length > 0 && (isFull || parcel.isAlone || batch[0]?.isAlone)) break;
        batch.push(parcel);
        bytes += parcel.bytes;
      }
      taken += 1;
    }
    this.#waiting = taken === this.#waiting.length ? [] : this.#waiting.slice(taken);
    return batch;
  }

  async #send(batch: readonly Parcel[]): Promise<void> {
    const returning = this.#returning(batch);
    const asked = returning === 0 ? 0 : this.#slots.promise(returning);
    const claim = asked === 0 ? undefined : { ...this.#claim, max: asked };
    const outcomes = batch.map(({ held, ending }): OutcomeItem => {
      const { id, lease } = held.task;
      return { id, leaseToken: lease.token, ...ending };
    });
    this.#inFlight += 1;
    const call = withDeadline((signal) => this.#connection.settle(outcomes, claim, signal), {
      ms: this.#allowedMs(batch),
      what: "A settle",
      late: ({ tasks }) => this.#actions.late(tasks),
    });
    const reply = await call.catch((error: DibsError) => error);
    this.#inFlight -= 1;
    this.#slots.takeBack(asked, returning);
    if (reply instanceof Error) this.#refused(batch, reply);
    else this.#answered(batch, reply, asked);
    if (this.#waiting.length > 0 && !this.#isScheduled) this.#flush();
  }

  #answered(batch: readonly Parcel[], reply: SettleReply, asked: number): void {
    this.#failures = 0;
    batch.forEach((parcel, index) => {
      this.#take(parcel, reply.results[index] as SettleItemAnswer);
    });
    this.#actions.claimed(reply.tasks, asked);
  }

  /** How many slots may be claimed for anew: none of what was sent before, for they may be claimed for already. */
  #returning(batch: readonly Parcel[]): number {
    if (!this.#claims || batch.some((parcel) => parcel.isRepeated || parcel.isAlone)) return 0;
    return batch.filter(freesItsSlot).length;
  }

  #allowedMs(batch: readonly Parcel[]): number {
    const shortestMs = Math.min(...batch.map(({ held }) => held.task.lease.ms));
    return Math.min(this.#timings.settleMs, Math.max(CALL_MS_MIN, shortestMs / 3));
  }

  #take(parcel: Parcel, answer: SettleItemAnswer): void {
    const { held, ending } = parcel;
    if (held.stage === "ended") return;
    if (!("error" in answer)) {
      this.#actions.settled(held, ending, answer);
      return;
    }
    const { code, message, details } = answer.error;
    const error = errorFromCode(code, message, details === undefined ? {} : { details });
    this.#takeError(parcel, error);
  }

  #takeError(parcel: Parcel, error: DibsError): void {
    const { held, ending } = parcel;
    switch (error.code) {
      case "lease_lost":
      case "task_not_found":
        // A repetition finds what the first sending did: the task moved on, or was pruned.
        if (parcel.isRepeated && isPresumedTaken(ending, error)) {
          this.#actions.settled(held, ending, presumed(held, ending, error));
        } else this.#actions.lost(held, error);
        return;
      case "payload_too_large":
        if (ending.outcome !== "complete") this.#actions.unsendable(held, error);
        else this.#again(parcel, { outcome: "nack", error: `The result was refused: ${error.message}` });
        return;
      case "invalid_request":
        this.#actions.unsendable(held, error);
        return;
      default:
        this.#actions.failed(error);
        this.#again(parcel, ending);
        this.#rest();
    }
  }

  #again(parcel: Parcel, ending: Ending): void {
    parcel.ending = ending;
    parcel.bytes = ITEM_BYTES + sizeOf(ending.resultJson) + sizeOf(ending.error);
    this.#waiting.push(parcel);
  }

  /** A call failed as a whole. */
  #refused(batch: readonly Parcel[], error: DibsError): void {
    const isFault = error.code === "invalid_request" || error.code === "payload_too_large";
    if (isFault && batch.length === 1) {
      this.#takeError(batch[0] as Parcel, error);
      return;
    }
    for (const parcel of batch) {
      parcel.isRepeated ||= !isFault;
      parcel.isAlone ||= isFault;
    }
    this.#waiting = [...batch.filter(({ held }) => held.stage !== "ended"), ...this.#waiting];
    if (isFault) return;
    this.#actions.failed(error);
    this.#rest();
  }

  #rest(): void {
    if (this.#pause !== undefined) return;
    this.#failures += 1;
    const ms = backoffMs(
      Math.min(this.#failures, LIMITS.maxAttemptsMax),
      this.#timings.resettle,
      Math.random(),
    );
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#flush();
    }, ms);
  }
}

/** Not while its handler still runs, nor when the result may be refused for its size. */
function freesItsSlot({ held, ending }: Parcel): boolean {
  return !held.isRunning && sizeOf(ending.resultJson) <= LIMITS.payloadBytesMax;
}

function sizeOf(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(text);
}

function isPresumedTaken(ending: Ending, error: DibsError): boolean {
  if (error.code === "task_not_found") return true;
  const { state } = error.details as { state?: string };
  if (ending.outcome === "complete") return state === "completed";
  return state !== "leased" && state !== "cancelled";
}

function presumed(held: HeldTask, ending: Ending, error: DibsError): SettledAnswer {
  const { state } = error.details as { state?: SettledAnswer["state"] };
  return { id: held.task.id, state: state ?? (ending.outcome === "complete" ? "completed" : "dead") };
}
