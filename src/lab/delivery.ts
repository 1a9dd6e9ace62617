import { IdTape, type WrittenTape } from "./id-tape.ts";

/** What an audit found. `exact` only when every fault is 0, something was claimed, and the control was caught. */
export interface DeliveryAudit {
  readonly enqueued: number;
  readonly claimed: number;
  readonly completed: number;
  /** Deliveries that ended without completion for a known reason; each explains one more claim. */
  readonly returned: number;
  /** Unfinished tasks by the engine's own count. */
  readonly pending: number;
  readonly faults: DeliveryFaults;
  /** The same audit over the same ledger with one claim doubled and one task lost: did it see both? */
  readonly controlCaught: boolean;
  readonly exact: boolean;
  /** Ids of tasks at fault, at most ten. */
  readonly examples: readonly string[];
}

export interface DeliveryFaults {
  /** Unfinished by the ledger, unknown to the engine. */
  readonly lost: number;
  /** Unfinished by the engine's count, finished by the ledger's. */
  readonly phantom: number;
  /** Tasks claimed more often than their returns explain. */
  readonly doubled: number;
  readonly completedTwice: number;
  /** Completed without ever being claimed. */
  readonly unclaimed: number;
  /** Claims and completions of ids that nobody enqueued. */
  readonly unknown: number;
  /** Ids given to two enqueues. */
  readonly reusedIds: number;
}

/** A ledger on its way to another process. */
export interface WrittenLedger {
  readonly enqueued: WrittenTape;
  readonly claimed: WrittenTape;
  readonly completed: WrittenTape;
  readonly returned: WrittenTape;
}

const EXAMPLES_MAX = 10;

interface Events {
  readonly claimed: Iterable<string>;
  readonly completed: Iterable<string>;
  readonly returned: Iterable<string>;
}

/**
 * The independent account of who got what: written down by the callers during a run, judged after it.
 * Noting copies some characters, so that it may stand in the path that is measured; all work is in `audit`.
 */
export class DeliveryLedger {
  readonly #enqueued = new IdTape();
  readonly #claimed = new IdTape();
  readonly #completed = new IdTape();
  readonly #returned = new IdTape();

  enqueued(id: string): void {
    this.#enqueued.push(id);
  }

  claimed(id: string): void {
    this.#claimed.push(id);
  }

  completed(id: string): void {
    this.#completed.push(id);
  }

  /** A delivery ended by release, nack or an expired lease: the task may be claimed once more. */
  returned(id: string): void {
    this.#returned.push(id);
  }

  /** What was noted so far, for the ledger of another process. */
  get written(): WrittenLedger {
    const { written: enqueued } = this.#enqueued;
    const { written: claimed } = this.#claimed;
    return { enqueued, claimed, completed: this.#completed.written, returned: this.#returned.written };
  }

  /** Adds what another ledger has noted. */
  append({ enqueued, claimed, completed, returned }: WrittenLedger): void {
    this.#enqueued.append(enqueued);
    this.#claimed.append(claimed);
    this.#completed.append(completed);
    this.#returned.append(returned);
  }

  /** Judges the run. `pending`: scheduled + ready + leased, as the engine counts them now. */
  audit(pending: number): DeliveryAudit {
    const ids = [...new Set(this.#enqueued)];
    const events = { claimed: this.#claimed, completed: this.#completed, returned: this.#returned };
    const reusedIds = this.#enqueued.length - ids.length;
    const judged = judge(ids, events, pending);
    const faults = { ...judged.faults, reusedIds };
    const controlCaught = catchesControl(ids, events, pending, judged.faults);
    return {
      enqueued: this.#enqueued.length,
      claimed: this.#claimed.length,
      completed: this.#completed.length,
      returned: this.#returned.length,
      pending,
      faults,
      controlCaught,
      exact: controlCaught && Object.values(faults).every((count) => count === 0),
      examples: judged.examples,
    };
  }
}

type Judged = { readonly faults: Omit<DeliveryFaults, "reusedIds">; readonly examples: readonly string[] };

function judge(ids: readonly string[], events: Events, pending: number): Judged {
  const places = new Map(ids.map((id, place) => [id, place]));
  const claims = countAt(places, events.claimed);
  const completions = countAt(places, events.completed);
  const returns = countAt(places, events.returned);
  const found = { unfinished: 0, doubled: 0, completedTwice: 0, unclaimed: 0 };
  const examples: string[] = [];
  for (const [id, place] of places) {
    const claimed = claims.counts[place] as number;
    const completed = completions.counts[place] as number;
    const doubled = claimed > 1 + (returns.counts[place] as number);
    const unclaimed = completed > 0 && claimed === 0;
    if (completed === 0) found.unfinished += 1;
    if (doubled) found.doubled += 1;
    if (completed > 1) found.completedTwice += 1;
    if (unclaimed) found.unclaimed += 1;
    if ((doubled || completed > 1 || unclaimed) && examples.length < EXAMPLES_MAX) examples.push(id);
  }
  const { unfinished, ...counted } = found;
  const faults = {
    ...counted,
    lost: Math.max(0, unfinished - pending),
    phantom: Math.max(0, pending - unfinished),
    unknown: claims.unknown + completions.unknown + returns.unknown,
  };
  return { faults, examples };
}

function countAt(places: ReadonlyMap<string, number>, ids: Iterable<string>) {
  const counts = new Uint32Array(places.size);
  let unknown = 0;
  for (const id of ids) {
    const place = places.get(id);
    if (place === undefined) unknown += 1;
    else counts[place] = (counts[place] as number) + 1;
  }
  return { counts, unknown };
}

/**
 * An audit that cannot fail proves nothing: plants one claim too many, then one task that the engine forgot,
 * and says whether both were seen. False when nothing was claimed: then there was nothing to audit.
 */
function catchesControl(
  ids: readonly string[],
  events: Events,
  pending: number,
  before: Judged["faults"],
): boolean {
  const [victim] = events.claimed;
  if (victim === undefined) return false;
  const tooMany = withMore(events.claimed, victim, 1 + timesIn(events.returned, victim));
  const doubled = judge(ids, { ...events, claimed: tooMany }, pending).faults;
  const forgotten = judge(ids, events, pending - 1).faults;
  const sawDouble = doubled.doubled > before.doubled || before.doubled + before.unknown > 0;
  const sawLoss = forgotten.lost > before.lost || before.phantom > 0;
  return sawDouble && sawLoss;
}

function* withMore(ids: Iterable<string>, id: string, times: number): Generator<string> {
  yield* ids;
  for (let n = 0; n < times; n += 1) yield id;
}

function timesIn(ids: Iterable<string>, wanted: string): number {
  let times = 0;
  for (const id of ids) if (id === wanted) times += 1;
  return times;
}
