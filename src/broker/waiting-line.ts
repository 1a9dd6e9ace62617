import type { DibsError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";

/** A claim that may have to wait. It rests, or a storage call is under way for it: never two at a time. */
export interface Waiter {
  readonly isResting: boolean;
  /** How many tasks it asks for. */
  readonly weight: number;
  /** Asks the storage for tasks of the place's queue; tells its line by `served` or `failed`. */
  wake(place: Place): void;
  /** Ends the wait without a task. */
  dismiss(): void;
  /** Ends the wait: the storage cannot answer. */
  fail(error: DibsError): void;
}

/** Where a waiter stands in one line. */
export interface Place {
  readonly line: WaitingLine;
  readonly waiter: Waiter;
  /** The line's `news` that the waiter's last look covered. */
  seen: number;
  previous: Place | undefined;
  next: Place | undefined;
}

/** So many are asked for first; twice as many each time that more is there. One new task seldom wakes more. */
const WOKEN_FIRST = 8;
/** After a storage call for a waiter failed, the next is made so much later, if nothing calls for it before. */
const RETRY_MS = 1_000;

/**
 * The claims that wait at one queue, first come first served.
 *
 * No wake-up is lost, because of two rules.
 * - Who rests here knows that nothing was there to claim, or that somebody is looking: `tell` starts the
 *   looking, it goes on while the storage says `more` or news came in meanwhile, and ends only when nothing
 *   is left or nobody rests.
 * - Who does not rest yet compares `news` with what it saw before it asked, and looks again when they differ.
 *   `news` changes whenever something may be there and nobody rests who could be sent for it.
 *
 * A waiter enters before it asks for the first time, keeps its place while it is asked for, and may stand in
 * several lines. Entering and leaving cost the same whatever the length.
 *
 * With several processes on one store, the wake-up of another process arrives as the same storage event, and
 * the claim that finds nothing has told the engine that somebody waits: the rules here stay as they are. News
 * may come before the tasks: whoever is sent for them asks the storage behind the call that brings them.
 */
export class WaitingLine {
  news = 0;
  #first: Place | undefined;
  #last: Place | undefined;
  #length = 0;
  #resting = 0;
  /** Waiters asked for whose answer is not there yet; 0 when nobody is looking. */
  #asked = 0;
  #isLooking = false;
  #lookAgain = false;
  #width = WOKEN_FIRST;
  #retry: NodeJS.Timeout | undefined;
  readonly #onWaiting: (waiting: boolean) => void;

  /** `onWaiting` is told when the first enters, before it asks for anything, and when the last leaves. */
  constructor(onWaiting: (waiting: boolean) => void) {
    this.#onWaiting = onWaiting;
  }

  /** How many stand here, resting or not. */
  get length(): number {
    return this.#length;
  }

  /** How many rest here: parked claims. */
  get resting(): number {
    return this.#resting;
  }

  get isIdle(): boolean {
    return this.#length === 0 && !this.#isLooking;
  }

  enter(waiter: Waiter): Place {
    const place: Place = { line: this, waiter, seen: this.news, previous: this.#last, next: undefined };
    if (this.#last === undefined) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    this.#length += 1;
    if (this.#length === 1) this.#onWaiting(true);
    return place;
  }

  leave(place: Place): void {
    if (place.previous === undefined) this.#first = place.next;
    else place.previous.next = place.next;
    if (place.next === undefined) this.#last = place.previous;
    else place.next.previous = place.previous;
    this.#length -= 1;
    if (this.#length > 0) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#onWaiting(false);
  }

  /** One of those who stand here begins, or ceases, to rest. */
  rest(change: 1 | -1): void {
    this.#resting += change;
  }

  /** Tells the line that tasks may be there. */
  tell(): void {
    if (this.#resting === 0) this.news += 1;
    else if (this.#isLooking) this.#lookAgain = true;
    else this.#look(WOKEN_FIRST);
  }

  /** Tells the line that tasks may be there, at a storage that fails just now. */
  tellLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.tell();
    }, RETRY_MS).unref();
  }

  /** A waiter that this line woke has its answer; `more` when the storage has more to give. */
  served(more: boolean): void {
    this.#asked -= 1;
    if (more) this.#lookAgain = true;
    if (this.#asked > 0) return;
    if (this.#lookAgain) this.#look(more ? this.#width * 2 : WOKEN_FIRST);
    else this.#isLooking = false;
  }

  /**
   * The storage call for a waiter that this line woke failed. Those who rest go on resting, and the line looks
   * again a second later: nobody is left behind who was not looked after. When only opening the storage again
   * can help, all who rest hear of it.
   */
  failed(error: DibsError, isFinal: boolean): void {
    this.#asked -= 1;
    if (this.#asked > 0) return;
    this.#stopLooking();
    if (isFinal) for (const place of this.restingPlaces()) place.waiter.fail(error);
    else if (this.#length > 0) this.tellLater();
  }

  /** The places of those who rest here, in order: so many, and no more than fit one storage call. */
  restingPlaces(max = this.#resting, weightMax = Number.POSITIVE_INFINITY): Place[] {
    const places: Place[] = [];
    let weight = 0;
    for (let place = this.#first; place !== undefined && places.length < max; place = place.next) {
      if (!place.waiter.isResting) continue;
      weight += place.waiter.weight;
      if (weight > weightMax && places.length > 0) break;
      places.push(place);
    }
    return places;
  }

  #look(width: number): void {
    this.#isLooking = true;
    this.#lookAgain = false;
    this.#width = width;
    const woken = this.restingPlaces(width, LIMITS.batchMax);
    this.#asked = woken.length;
    for (const place of woken) place.waiter.wake(place);
    if (woken.length === 0) this.#stopLooking();
  }

  #stopLooking(): void {
    this.#isLooking = false;
    this.news += 1;
  }
}
