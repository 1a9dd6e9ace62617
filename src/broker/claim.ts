import type { ClaimAsk, ClaimReply, Storage } from "../storage/storage.ts";
import type { DibsError } from "../task/errors.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { ClaimedTask } from "../task/task.ts";
import type { Line } from "./line.ts";
import type { Lines } from "./lines.ts";
import type { MergedCall } from "./merger.ts";
import type { Meters } from "./meters.ts";
import type { ClaimRequest } from "./requests.ts";
import type { Undelivered } from "./undelivered.ts";
import type { Place, Waiter } from "./waiting-line.ts";

/** What a claim needs of the broker around it. */
export interface ClaimSurroundings {
  readonly storage: Storage;
  readonly lines: Lines;
  readonly meters: Meters;
  readonly undelivered: Undelivered;
  /** True when nobody may begin to rest any more. */
  isDraining: boolean;
  /** Claims that rest, over all queues. */
  parked: number;
}

/** The longest delay that a timer takes; more would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const NOTHING: readonly ClaimedTask[] = [];

/**
 * One caller's claim, from its first ask to its answer.
 *
 * It asks its queues in the order given until `max` tasks are there, 16 MiB are full, or all were asked.
 * When it stays empty and may wait, it rests in the lines of all its queues until one of them wakes it, its
 * time is over, or its caller goes away. Whatever it holds then that nobody will receive is given back.
 *
 * A storage that fails ends a claim that never rested: its caller hears at once how things are. One that rests
 * outlives the failure, and hears of it only when the storage cannot answer at the end of its time either.
 */
export class Claim implements MergedCall<ClaimReply>, Waiter {
  readonly answer: Promise<readonly ClaimedTask[]>;
  readonly bytes = 0;
  /** What it asks of the present queue. */
  ask: ClaimAsk;
  /** Where its grant is in the reply. */
  index = 0;
  isResting = false;

  readonly #request: ClaimRequest;
  readonly #signal: AbortSignal | undefined;
  readonly #around: ClaimSurroundings;
  readonly #queues: readonly QueueName[];
  readonly #startedAt = performance.now();
  #resolve!: (tasks: readonly ClaimedTask[]) => void;
  #reject!: (error: DibsError) => void;
  /** Its place in the line of each of its queues; empty when it does not wait. */
  #places: readonly Place[] = [];
  #next = 0;
  #line!: Line;
  /** The place by which it was woken, while it is asked for on that account. */
  #wokenAt: Place | undefined;
  #taken = NOTHING;
  #askedAt = this.#startedAt;
  /** How long it took to hear that nothing was there, before it first rested. */
  #emptyMs: number | undefined;
  /** Why its last look failed; undefined when it did not. */
  #failure: DibsError | undefined;
  #timer: NodeJS.Timeout | undefined;
  #onAbort: (() => void) | undefined;
  #isLate = false;

  constructor(request: ClaimRequest, signal: AbortSignal | undefined, around: ClaimSurroundings) {
    this.#request = request;
    this.#signal = signal;
    this.#around = around;
    this.ask = request;
    this.#queues = request.queues.length === 1 ? request.queues : [...new Set(request.queues)];
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get firstQueue(): QueueName {
    return this.#queues[0] as QueueName;
  }

  get weight(): number {
    return this.ask.max;
  }

  /** Takes its places in the lines, before anything is asked, so that no news is missed in between. */
  enter(): void {
    if (this.#request.waitMs === 0) return;
    this.#places = this.#queues.map((queue) => this.#around.lines.of(queue).waiting.enter(this));
  }

  /** True when the first ask may travel with a settle of the first queue; it is then under way. */
  rides(): boolean {
    return this.#looksAt(0);
  }

  /** Asks the next queue; when all were asked it rests, or ends. */
  proceed(now: number): void {
    while (this.#next < this.#queues.length && !this.#looksAt(this.#next)) this.#next += 1;
    if (this.#next < this.#queues.length) this.#line.claims.add(this);
    else if (this.#taken.length > 0) this.#finish(now);
    else this.#rest(now);
  }

  deal(reply: ClaimReply, now: number): void {
    this.#failure = undefined;
    const grant = reply.grants[this.index] as readonly ClaimedTask[];
    const wokenAt = this.#wokenAt;
    if (grant.length > 0) this.#take(grant, reply.more, now);
    else if (wokenAt !== undefined) this.#rest(now);
    else if (reply.more) this.#line.claims.again(this);
    else {
      this.#next += 1;
      this.proceed(now);
    }
    wokenAt?.line.served(reply.more);
  }

  fail(error: DibsError): void {
    const wokenAt = this.#wokenAt;
    const isFinal = this.#around.storage.trouble()?.isFinal === true;
    this.#failure = error;
    if (this.#taken.length > 0 || isFinal || !this.#hasRested) this.#finish(performance.now());
    else this.#rest(performance.now());
    wokenAt?.line.failed(error, isFinal);
  }

  wake(place: Place): void {
    this.#ceaseToRest();
    for (const each of this.#places) each.seen = each.line.news;
    this.#wokenAt = place;
    this.#askedAt = performance.now();
    this.#line = this.#around.lines.of(this.#queues[this.#places.indexOf(place)] as QueueName);
    this.#line.claims.add(this);
  }

  /** Ends the wait without a task: the deadline, a drain, or the caller went away. */
  dismiss(): void {
    if (this.isResting) this.#finish(performance.now());
    else this.#isLate = true;
  }

  /** The time is over. When the storage is in trouble, a last look shows whether it can answer at all. */
  #expire(): void {
    if (!this.isResting || this.#around.storage.trouble() === undefined) {
      this.dismiss();
      return;
    }
    this.#isLate = true;
    this.#ceaseToRest();
    this.#line = this.#around.lines.of(this.firstQueue);
    this.#line.claims.add(this);
  }

  /** False when others rest at the queue: they came first, and they are looking when there is reason to. */
  #looksAt(index: number): boolean {
    this.#line = this.#around.lines.of(this.#queues[index] as QueueName);
    const place = this.#places[index];
    if (place === undefined) return true;
    place.seen = place.line.news;
    return place.line.resting === 0;
  }

  #take(grant: readonly ClaimedTask[], more: boolean, now: number): void {
    if (this.#isTooMuch(grant)) {
      void this.#around.undelivered.giveBack(grant);
      this.#finish(now);
      return;
    }
    this.#line.claimed(grant, now);
    this.#line.claimWindow.record(now - this.#askedAt, now);
    this.#taken = this.#taken === NOTHING ? grant : [...this.#taken, ...grant];
    this.#next += 1;
    if (this.#isSatisfied(more)) this.#finish(now);
    else this.#askForRest(now);
  }

  #isSatisfied(more: boolean): boolean {
    return (
      this.#taken.length >= this.#request.max ||
      // Short although more is ready: the bytes are full.
      more ||
      this.#wokenAt !== undefined ||
      this.#next >= this.#queues.length ||
      this.#isGone
    );
  }

  /** The first task of an ask always comes; behind the tasks of another queue it may be too much. */
  #isTooMuch(grant: readonly ClaimedTask[]): boolean {
    const { bytesMax } = this.ask;
    return bytesMax !== undefined && grant.length === 1 && payloadBytes(grant) > bytesMax;
  }

  #askForRest(now: number): void {
    const max = this.#request.max - this.#taken.length;
    this.ask = { ...this.#request, max, bytesMax: LIMITS.bodyBytesMax - payloadBytes(this.#taken) };
    this.proceed(now);
  }

  #rest(now: number): void {
    this.#wokenAt = undefined;
    this.#emptyMs ??= now - this.#askedAt;
    const leftMs = this.#request.waitMs - (now - this.#startedAt);
    if (leftMs <= 0 || this.#isLate || this.#isGone || this.#around.isDraining) {
      this.#finish(now);
      return;
    }
    this.isResting = true;
    this.#around.parked += 1;
    for (const place of this.#places) place.line.rest(1);
    if (this.#timer === undefined) this.#listen(leftMs);
    for (const { seen, line } of this.#places) {
      if (seen === line.news) continue;
      // At once, a storage that fails would be asked by the lines of one claim in turn, without end.
      if (this.#failure === undefined) line.tell();
      else line.tellLater();
    }
  }

  #listen(leftMs: number): void {
    this.#timer = setTimeout(() => this.#expire(), Math.min(leftMs, TIMER_MS_MAX));
    if (this.#signal === undefined) return;
    this.#onAbort = () => this.dismiss();
    this.#signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  #ceaseToRest(): void {
    this.isResting = false;
    this.#around.parked -= 1;
    for (const place of this.#places) place.line.rest(-1);
  }

  #finish(now: number): void {
    this.#leave();
    if (this.#isGone && this.#taken.length > 0) {
      void this.#around.undelivered.giveBack(this.#taken);
      this.#taken = NOTHING;
    }
    if (this.#failure !== undefined && this.#taken.length === 0 && !this.#isGone) {
      this.#reject(this.#failure);
      return;
    }
    this.#measure(now);
    this.#resolve(this.#taken);
  }

  #leave(): void {
    if (this.isResting) this.#ceaseToRest();
    for (const place of this.#places) place.line.leave(place);
    this.#places = [];
    this.#wokenAt = undefined;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  #measure(now: number): void {
    const { claimSeconds } = this.#around.meters;
    const spentMs = now - this.#askedAt;
    if (this.#taken.length === 0) claimSeconds.empty.record((this.#emptyMs ?? spentMs) / 1_000);
    else if (this.#emptyMs === undefined) claimSeconds.hit.record(spentMs / 1_000);
    else claimSeconds.waited.record(spentMs / 1_000);
  }

  get #hasRested(): boolean {
    return this.#emptyMs !== undefined;
  }

  get #isGone(): boolean {
    return this.#signal?.aborted === true;
  }
}

function payloadBytes(tasks: readonly ClaimedTask[]): number {
  let bytes = 0;
  for (const task of tasks) bytes += Buffer.byteLength(task.payload);
  return bytes;
}

/** Sends the asks of many callers as one. */
export function sendClaims(
  storage: Storage,
  queue: QueueName,
  claims: readonly Claim[],
): Promise<ClaimReply> {
  const asks = claims.map((claim, index) => {
    claim.index = index;
    return claim.ask;
  });
  return storage.claim(queue, asks);
}
