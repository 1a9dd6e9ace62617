import { nowNs } from "../nano-clock.ts";
import { TIMED, type Timed } from "./scenario.ts";

/** How a call ended: `empty` is a claim that brought nothing. */
export const ENDINGS = ["done", "empty", "failed", "timed-out"] as const;
export type Ending = (typeof ENDINGS)[number];

export interface LoadEvent {
  readonly timed: Timed;
  readonly ending: Ending;
  /** By the clock that all processes of the machine share, nanoseconds. */
  readonly intendedAt: number;
  readonly endedAt: number;
  readonly sentAt: number;
}

/** From this process's own clock to the one that all processes of the machine share. */
const SHARED_NS = Number(process.hrtime.bigint()) - nowNs();

/** Nanoseconds of the clock that all processes of the machine share; see {@link nowNs} for the one of measurements. */
export function toShared(ns: number): number {
  return ns + SHARED_NS;
}

export function fromShared(ns: number): number {
  return ns - SHARED_NS;
}

const FIELDS = 4;
const EVENTS_MAX = 2_048;
const FLUSH_MS = 200;

/**
 * What the generator tells of its calls: four numbers each, sent to the main process a few times a second. So
 * the processes that make the load neither sort nor sum anything.
 */
export class EventLog {
  readonly #send: (events: Float64Array) => void;
  #events = new Float64Array(FIELDS * EVENTS_MAX);
  #length = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(send: (events: Float64Array) => void) {
    this.#send = send;
  }

  get isOpen(): boolean {
    return this.#timer !== undefined;
  }

  /** What is noted before is forgotten. */
  open(): void {
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  close(): void {
    this.#flush();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** By the clock of this process. */
  note(timed: Timed, ending: Ending, intendedAt: number, sentAt: number, endedAt: number): void {
    if (this.#timer === undefined) return;
    const at = this.#length;
    this.#events[at] = TIMED.indexOf(timed) * ENDINGS.length + ENDINGS.indexOf(ending);
    this.#events[at + 1] = toShared(intendedAt);
    this.#events[at + 2] = toShared(sentAt);
    this.#events[at + 3] = toShared(endedAt);
    this.#length += FIELDS;
    if (this.#length === this.#events.length) this.#flush();
  }

  #flush(): void {
    if (this.#length > 0) this.#send(this.#events.slice(0, this.#length));
    this.#length = 0;
  }
}

/** The events of a message, in order. */
export function* eventsIn(events: Float64Array): Generator<LoadEvent> {
  for (let at = 0; at < events.length; at += FIELDS) {
    const [code, intendedAt, sentAt, endedAt] = events.subarray(at, at + FIELDS) as unknown as number[];
    yield {
      timed: TIMED[Math.floor((code as number) / ENDINGS.length)] as Timed,
      ending: ENDINGS[(code as number) % ENDINGS.length] as Ending,
      intendedAt: intendedAt as number,
      sentAt: sentAt as number,
      endedAt: endedAt as number,
    };
  }
}
