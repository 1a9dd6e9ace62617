import type { Grant } from "./call.ts";
import type { Moment } from "./moment.ts";
import type { Hold, Story } from "./story.ts";

const SLACK_MS = 20;

/** What each claim of a task has to be beside the ones before it: its fence (I2), its time (I4), its attempt (I5). */
export function claimsFit(story: Story, unheard: readonly Moment[]): string[] {
  return [
    ...fencesGrow(story.holds),
    ...sameTask(story),
    ...neverEarly(story),
    ...neverAfterTheEnd(story),
    ...countAttempts(story, unheard).faults,
  ];
}

function fencesGrow(holds: readonly Hold[]): string[] {
  return holds.slice(1).flatMap((next, at) => {
    const before = holds[at] as Hold;
    const { fence, token } = before.grant;
    if (next.grant.fence === fence) return [`fence ${fence} was given twice`];
    if (next.grant.token === token) return [`the token of fence ${fence} was given twice`];
    return next.answered < before.invoked ? [`fence ${fence} came after ${next.grant.fence}`] : [];
  });
}

/** The task that was claimed is the one that was enqueued. */
function sameTask({ enqueues, holds }: Story): string[] {
  const sent = enqueues[0]?.sent;
  if (sent === undefined) return [];
  return holds.flatMap(({ grant }) =>
    (["number", "queue", "priority", "maxAttempts"] as const)
      .filter((field) => grant[field] !== sent[field])
      .map((field) => `${field} ${sent[field]} was sent, claimed it has ${grant[field]}`),
  );
}

function neverEarly({ enqueues, holds, moves }: Story): string[] {
  const isHurried = moves.some(({ verb, verdict }) => verb === "requeue" && verdict !== "refused");
  if (isHurried) return [];
  const first = holds[0];
  const [enqueue] = enqueues;
  return [
    ...holds
      .filter(({ grant }) => grant.claimedAt < grant.runAt)
      .map(({ grant }) => early(grant, grant.runAt)),
    ...(first !== undefined && enqueue !== undefined
      ? tooEarly(first, enqueue.invoked + (enqueue.sent.delayMs ?? 0), enqueue.runAt)
      : []),
    ...holds.slice(1).flatMap((next, at) => {
      const nack = (holds[at] as Hold).endings.find(
        ({ sent, verdict, state }) =>
          sent.outcome === "nack" && verdict === "acknowledged" && state === "scheduled",
      );
      return nack === undefined ? [] : tooEarly(next, nack.invoked + (nack.sent.delayMs ?? 0), nack.runAt);
    }),
  ];
}

function tooEarly({ grant, answered }: Hold, due: Moment, runAt: number | undefined): string[] {
  const isEarly = answered < due - SLACK_MS || (runAt !== undefined && grant.claimedAt < runAt);
  return isEarly ? [early(grant, runAt ?? grant.runAt)] : [];
}

function early({ fence, claimedAt }: Grant, runAt: number): string {
  return `claimed at ${claimedAt} with fence ${fence}, due at ${runAt}`;
}

function neverAfterTheEnd({ holds, moves }: Story): string[] {
  return holds.flatMap((hold, at) => {
    const isBack = moves.some(
      ({ verb, verdict, invoked }) => verb === "requeue" && verdict !== "refused" && invoked < hold.answered,
    );
    if (isBack) return [];
    const finished = holds
      .slice(0, at)
      .flatMap(({ endings }) => endings)
      .find(
        ({ verdict, state }) => verdict === "acknowledged" && (state === "completed" || state === "dead"),
      );
    const cancelled = moves.some(
      ({ verb, verdict, answered }) =>
        verb === "cancel" && verdict === "acknowledged" && (answered as Moment) < hold.invoked,
    );
    return [
      ...(finished === undefined ? [] : [`claimed by ${hold.who} after it was ${finished.state}`]),
      ...(cancelled ? [`claimed by ${hold.who} after it was cancelled`] : []),
    ];
  });
}

/** How many attempts may be counted after the last claim. */
export interface Attempts {
  readonly least: number;
  readonly most: number;
  readonly faults: readonly string[];
}

/** Each claim counts once, a release gives it back, a requeue begins anew, and none is beyond the maximum. */
export function countAttempts({ holds, moves }: Story, unheard: readonly Moment[]): Attempts {
  const faults: string[] = [];
  let least = 0;
  let most = 0;
  const startsAnewBy = (by: Moment) =>
    moves.some(({ verb, verdict, invoked }) => verb !== "cancel" && verdict !== "refused" && invoked < by);
  for (const hold of holds) {
    const { attempt, maxAttempts, fence } = hold.grant;
    if (attempt > maxAttempts) faults.push(`attempt ${attempt} of ${maxAttempts} with fence ${fence}`);
    if (startsAnewBy(hold.answered)) least = 0;
    const [from, to] = [least + 1, most + 1 + countBefore(unheard, hold.answered)];
    if (attempt < from || attempt > to)
      faults.push(`attempt ${attempt} with fence ${fence}, expected ${range(from, to)}`);
    const releases = hold.endings.filter(({ sent }) => sent.outcome === "release");
    const isReleased = releases.some(({ verdict }) => verdict === "acknowledged");
    const mayBe = isReleased || releases.some(({ verdict }) => verdict === "unknown");
    most = isReleased ? attempt - 1 : attempt;
    // What a loss undid is not counted.
    if (hold.isLost) least = Math.min(least, attempt - 1);
    else least = mayBe ? attempt - 1 : attempt;
  }
  if (startsAnewBy(Number.POSITIVE_INFINITY)) least = 0;
  return { least, most: most + unheard.length, faults };
}

function countBefore(times: readonly Moment[], by: Moment): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as Moment) < by) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function range(least: number, most: number): string {
  return least === most ? String(most) : `${least} to ${most}`;
}
