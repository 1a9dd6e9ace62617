import type { Moment } from "./moment.ts";
import type { Enqueued, Hold, Stories, Story } from "./story.ts";

/** A task that was ready from its enqueue on, and its first claim. */
interface Entrant {
  readonly id: string;
  readonly priority: number;
  readonly enqueue: Enqueued;
  readonly hold: Hold;
}

/**
 * I6, as far as callers can tell: of two tasks that one caller surely enqueued after the other, or that were in one
 * call, none is surely claimed before the other; and nothing is claimed while something more urgent is surely ready.
 * Of tasks that were never claimed, or whose first claim may not be known, nothing is said.
 */
export function orderFits({ tasks, unheard }: Stories): string[] {
  const entrants: Entrant[] = [];
  for (const story of tasks.values()) {
    const entrant = entrantOf(story);
    if (entrant === undefined) continue;
    const { queue } = entrant.enqueue.sent;
    // It may have been in the hands of one whom nobody heard, and come back to the head.
    if ((unheard.get(queue)?.[0] ?? Number.POSITIVE_INFINITY) < entrant.hold.answered) continue;
    entrants.push(entrant);
  }
  return grouped(entrants, ({ enqueue }) => enqueue.sent.queue).flatMap((ofQueue) => [
    ...urgentFirst(ofQueue),
    ...grouped(ofQueue, ({ priority }) => priority).flatMap(firstInFirstOut),
    ...repliesInOrder(ofQueue),
  ]);
}

function entrantOf({ id, enqueues, holds, moves }: Story): Entrant | undefined {
  const [enqueue] = enqueues;
  const [hold] = holds;
  if (enqueue?.answered === undefined || hold === undefined || enqueues.length > 1) return undefined;
  const isPlain = (enqueue.sent.delayMs ?? 0) === 0 && moves.length === 0 && hold.grant.attempt === 1;
  return isPlain ? { id, priority: enqueue.sent.priority, enqueue, hold } : undefined;
}

function grouped<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Item[][] {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

/** Goes through all in the order of `moment`, with the one of those `before` it whose claim was sent last. */
function overtaken(
  entrants: readonly Entrant[],
  moment: (each: Entrant) => Moment,
  before: (each: Entrant) => Moment,
): [Entrant, Entrant][] {
  const later = [...entrants].sort((a, b) => moment(a) - moment(b));
  const earlier = [...entrants].sort((a, b) => before(a) - before(b));
  const found: [Entrant, Entrant][] = [];
  let place = 0;
  let slowest: Entrant | undefined;
  for (const each of later) {
    while (place < earlier.length && before(earlier[place] as Entrant) < moment(each)) {
      const next = earlier[place] as Entrant;
      if (slowest === undefined || next.hold.invoked > slowest.hold.invoked) slowest = next;
      place += 1;
    }
    if (slowest !== undefined && each.hold.answered < slowest.hold.invoked) found.push([each, slowest]);
  }
  return found;
}

function firstInFirstOut(line: readonly Entrant[]): string[] {
  const answered = ({ enqueue }: Entrant) => enqueue.answered as Moment;
  const pairs = [...overtaken(line, ({ enqueue }) => enqueue.invoked, answered), ...callmates(line)];
  return pairs.map(
    ([each, before]) => `${each.id}: claimed before ${before.id}, which was enqueued before it`,
  );
}

/** Of one enqueue of many, in the order in which they stood there. */
function callmates(line: readonly Entrant[]): [Entrant, Entrant][] {
  const inOrder = [...line].sort(
    (a, b) => a.enqueue.invoked - b.enqueue.invoked || a.enqueue.place - b.enqueue.place,
  );
  const found: [Entrant, Entrant][] = [];
  let slowest: Entrant | undefined;
  for (const each of inOrder) {
    if (slowest?.enqueue.call !== each.enqueue.call) slowest = undefined;
    if (slowest !== undefined && each.hold.answered < slowest.hold.invoked) found.push([each, slowest]);
    if (slowest === undefined || each.hold.invoked > slowest.hold.invoked) slowest = each;
  }
  return found;
}

function urgentFirst(entrants: readonly Entrant[]): string[] {
  const priorities = [...new Set(entrants.map(({ priority }) => priority))];
  const answered = ({ enqueue }: Entrant) => enqueue.answered as Moment;
  return priorities.flatMap((priority) => {
    const others = entrants.filter((each) => each.priority >= priority);
    // Only an urgent one can be overtaken, and only by one of this priority.
    const before = (each: Entrant) => (each.priority > priority ? answered(each) : Number.POSITIVE_INFINITY);
    return overtaken(others, ({ hold }) => hold.invoked, before)
      .filter(([each]) => each.priority === priority)
      .map(([each, urgent]) => `${each.id}: claimed while ${urgent.id}, more urgent, was ready`);
  });
}

/** In one reply the more urgent stand first, and those of a priority as they came. */
function repliesInOrder(entrants: readonly Entrant[]): string[] {
  return grouped(entrants, ({ hold }) => `${hold.who} ${hold.invoked}`).flatMap((reply) => {
    const inPlace = reply.sort((a, b) => a.hold.place - b.hold.place);
    return inPlace.slice(1).flatMap((each, at) => {
      const before = inPlace[at] as Entrant;
      const isWrong = before.priority < each.priority || cameLater(before, each);
      return isWrong ? [`${each.id}: stands behind ${before.id} in the answer to ${each.hold.who}`] : [];
    });
  });
}

function cameLater(a: Entrant, b: Entrant): boolean {
  if (a.priority !== b.priority) return false;
  if (a.enqueue.call === b.enqueue.call) return a.enqueue.place > b.enqueue.place;
  return a.enqueue.invoked > (b.enqueue.answered as Moment);
}
