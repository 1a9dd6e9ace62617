import type { Moment } from "./moment.ts";
import type { Beat, Hold, Story, Verdict } from "./story.ts";

/** What the store's clock and ours may differ by over the length of a lease. */
const SLACK_MS = 20;

/**
 * I2 and I3: one live token at a time, which its holder can rely on, and which nobody else's can stand for.
 *
 * A holder may rely on its lease from the answer on, until the lease's length after it sent the claim or the last
 * heartbeat that was acknowledged; it is surely over its length after the answer. Between the two it may be
 * either, and nothing is said.
 */
export function leasesFit(story: Story): string[] {
  const { holds } = story;
  return [
    ...holds.flatMap((hold) => [...acceptedInTime(hold), ...honoured(story, hold)]),
    ...holds.slice(1).flatMap((next, at) => heldOnce(story, holds[at] as Hold, next)),
    ...holds.flatMap((hold, at) => oldTokensRefused(hold, holds.slice(at + 1))),
  ];
}

function heldOnce(story: Story, hold: Hold, next: Hold): string[] {
  if (hold.isLost || mayBeOver(story, hold, next.answered)) return [];
  const { fence } = hold.grant;
  const early = reliableUntil(hold, next.answered) - SLACK_MS - next.answered;
  const end = lastEnd(hold);
  if (early > 0)
    return [`held twice: ${next.who} had it ${ms(early)} before ${hold.who} had to let go of fence ${fence}`];
  return end !== undefined && next.grant.claimedAt < end
    ? [`held twice: claimed at ${next.grant.claimedAt}, fence ${fence} ran until ${end}`]
    : [];
}

/** Whether somebody may have ended the hold by then, otherwise than by letting its time pass. */
function mayBeOver({ moves }: Story, { endings }: Hold, by: Moment): boolean {
  return [...endings, ...moves].some(({ verdict, invoked }) => verdict !== "refused" && invoked < by);
}

/** Until when the holder may rely on its lease, by what it knew at `by`. */
function reliableUntil({ grant, invoked, beats }: Hold, by: Moment): Moment {
  let until = invoked + grant.expiresAt - grant.claimedAt;
  for (const beat of inOrder(beats)) {
    const extended = beat.invoked + beat.leaseMs;
    if (beat.invoked > by || beat.verdict === "refused") continue;
    const isKnown = beat.verdict === "acknowledged" && (beat.answered as Moment) <= by;
    until = isKnown ? extended : Math.min(until, extended);
  }
  return until;
}

/** From when on the lease is surely over. */
function surelyOverAt({ grant, answered, beats }: Hold): Moment {
  let at = answered + grant.expiresAt - grant.claimedAt;
  for (const beat of beats) {
    if (beat.verdict === "refused") continue;
    const isKnown = beat.verdict === "acknowledged";
    at = Math.max(at, isKnown ? (beat.answered as Moment) + beat.leaseMs : Number.POSITIVE_INFINITY);
  }
  return at;
}

/** The end of the lease on the store's clock; undefined when a heartbeat that is open may have made it earlier. */
function lastEnd({ grant, beats }: Hold): number | undefined {
  let end: number | undefined = grant.expiresAt;
  for (const { verdict, leaseMs, expiresAt } of inOrder(beats)) {
    if (verdict === "acknowledged") end = expiresAt;
    else if (verdict === "unknown" && leaseMs < grant.expiresAt - grant.claimedAt) end = undefined;
  }
  return end;
}

function acceptedInTime(hold: Hold): string[] {
  const over = surelyOverAt(hold) + SLACK_MS;
  return hold.endings
    .filter(({ verdict, invoked }, at) => verdict === "acknowledged" && invoked > over && !isRepeat(hold, at))
    .map(
      ({ sent, invoked }) =>
        `the ${sent.outcome} of fence ${hold.grant.fence} was accepted ${ms(invoked - over)} after its lease`,
    );
}

/** The same completion again gets the same answer, whenever it comes. */
function isRepeat({ endings }: Hold, at: number): boolean {
  const { sent, answered } = endings[at] as Hold["endings"][number];
  return (
    sent.outcome === "complete" &&
    endings.some(
      (other, place) =>
        place !== at &&
        other.sent.outcome === "complete" &&
        other.verdict !== "refused" &&
        other.invoked < (answered ?? Number.POSITIVE_INFINITY),
    )
  );
}

/** A live token is never refused. */
function honoured(story: Story, hold: Hold): string[] {
  if (hold.isLost) return [];
  return [...hold.endings, ...hold.beats]
    .filter((deed) => deed.verdict === "refused" && isLoss(deed.code) && !isOver(story, hold, deed))
    .map(({ code, invoked }) => {
      const left = reliableUntil(hold, invoked) - invoked;
      return `fence ${hold.grant.fence} was refused (${code}) while its lease had ${ms(left)} to run`;
    });
}

function isLoss(code: string | undefined): boolean {
  return code === "lease_lost" || code === "task_not_found";
}

type Refused = { readonly invoked: Moment; readonly answered: Moment | undefined; readonly verdict: Verdict };

function isOver(story: Story, hold: Hold, deed: Refused): boolean {
  const answered = deed.answered as Moment;
  if (mayBeOver(story, hold, answered)) return true;
  return answered >= reliableUntil(hold, deed.invoked) - SLACK_MS;
}

/** Once a later claim was answered, nothing is moved by an earlier one's token. */
function oldTokensRefused(hold: Hold, later: readonly Hold[]): string[] {
  const next = later.filter(({ isLost }) => !isLost);
  const taken = Math.min(...next.map(({ answered }) => answered));
  return [...hold.endings, ...hold.beats]
    .filter(({ verdict, invoked }) => verdict === "acknowledged" && invoked > taken)
    .map(() => `fence ${hold.grant.fence} was still accepted after a later one was given`);
}

function inOrder(beats: readonly Beat[]): Beat[] {
  return [...beats].sort((a, b) => a.invoked - b.invoked);
}

function ms(time: number): string {
  return `${time.toFixed(1)} ms`;
}
