import type { TaskMessage } from "../../../src/protocol/messages.ts";
import { countsFit } from "../../crash/audit.ts";
import type { Snapshot } from "../../crash/snapshot.ts";
import { countAttempts, range } from "./claims.ts";
import type { Deed, Hold, Stories, Story } from "./story.ts";

/** How long after its time a task may lie leased or scheduled before it counts as forgotten. */
const FORGOTTEN_MS = 10_000;

/** What a store acknowledged and no longer has, as far as its promise lets it. */
export interface Lost {
  enqueues: number;
  endings: number;
}

export interface Ends {
  readonly faults: readonly string[];
  readonly lost: Lost;
}

/**
 * I1 and I7: compares what the callers know with all that the store shows in the end. What was acknowledged is
 * there, what is open may be there or not, but not twice and not half, and there is nothing else.
 */
export function endsFit(stories: Stories, snapshot: Snapshot): Ends {
  const shown = new Map(snapshot.tasks.map((task) => [task.id, task]));
  const lost: Lost = { enqueues: 0, endings: 0 };
  const faults = [...countsFit(snapshot), ...nothingElse(stories, snapshot)];
  for (const story of stories.tasks.values()) {
    const task = shown.get(story.id);
    if (task === undefined) {
      if (story.enqueues.some(isSure)) faults.push(`${story.id}: its enqueue was acknowledged, it is gone`);
      else if (story.enqueues.some(wasTold)) lost.enqueues += 1;
      continue;
    }
    if (endingsOf(story).some((ending) => wasTold(ending) && !isSure(ending) && !isKept(ending, task)))
      lost.endings += 1;
    const unheard = stories.unheard.get(task.queue) ?? [];
    const own = [
      ...endingsKept(story, task),
      ...stateExplained(story, task),
      ...leaseExplained(story, task, unheard.length > 0),
      ...leaseKept(story, task, snapshot),
      ...notForgotten(task, snapshot),
      ...attemptsFit(story, task, unheard),
    ];
    faults.push(...own.map((fault) => `${story.id} (${task.state}): ${fault}`));
  }
  return { faults, lost };
}

function nothingElse({ tasks, open }: Stories, snapshot: Snapshot): string[] {
  const seen = new Map<number, string>();
  return snapshot.tasks.flatMap(({ id, payload }) => {
    const { number } = payload as { number: number };
    const twin = seen.get(number);
    seen.set(number, id);
    const told = tasks.get(id)?.enqueues[0]?.sent.number;
    return [
      ...(twin === undefined ? [] : [`${id}: enqueue ${number} also made ${twin}`]),
      ...(told === undefined && !open.has(number) ? [`${id}: nobody can have enqueued it`] : []),
      ...(told !== undefined && told !== number ? [`${id}: has payload ${number}, sent was ${told}`] : []),
    ];
  });
}

function endingsOf({ holds }: Story): Hold["endings"] {
  return holds.flatMap(({ endings }) => endings);
}

function isSure({ verdict }: Deed): boolean {
  return verdict === "acknowledged";
}

/** Acknowledged, be it in a span in which that is not worth much. */
function wasTold(deed: Deed & { readonly id?: string; readonly state?: string }): boolean {
  return deed.id !== undefined || deed.state !== undefined;
}

function isBegunAnew({ moves }: Story): boolean {
  return moves.some(({ verb, verdict }) => verb === "requeue" && verdict !== "refused");
}

function endingsKept(story: Story, task: TaskMessage): string[] {
  if (isBegunAnew(story)) return [];
  const cancels = story.moves.filter((move) => move.verb === "cancel" && isSure(move));
  return [
    ...endingsOf(story)
      .filter((ending) => isSure(ending) && !isKept(ending, task))
      .map(({ sent, state }) => `an acknowledged ${sent.outcome}, to ${state}, is lost`),
    ...cancels.filter(() => task.state !== "cancelled").map(() => "an acknowledged cancel is lost"),
  ];
}

/** An ending that a task can leave again shows only in its attempts. */
function isKept({ state }: { readonly state?: string }, task: TaskMessage): boolean {
  return (state !== "completed" && state !== "dead") || task.state === state;
}

function stateExplained(story: Story, task: TaskMessage): string[] {
  const sent = (outcome: string) =>
    endingsOf(story).some((ending) => ending.sent.outcome === outcome && ending.verdict !== "refused");
  switch (task.state) {
    case "completed":
      return sent("complete") ? [] : ["nobody completed it"];
    case "cancelled":
      return story.moves.some(({ verb, verdict }) => verb === "cancel" && verdict !== "refused")
        ? []
        : ["nobody cancelled it"];
    case "dead":
      if (task.deadReason === "refused") return sent("refuse") ? [] : ["nobody refused it"];
      return task.attempt >= task.maxAttempts
        ? []
        : [`dead after ${task.attempt} of ${task.maxAttempts} attempts`];
    default:
      return [];
  }
}

/** A lease is one that was given, and not one that was ended. */
function leaseExplained({ holds }: Story, { lease }: TaskMessage, isUnheard: boolean): string[] {
  if (lease === undefined) return [];
  const hold = holds.find(({ grant }) => grant.fence === lease.fence);
  if (hold === undefined)
    return isUnheard ? [] : [`leased with fence ${lease.fence}, which nobody was given`];
  const ended = hold.endings.find(isSure);
  return ended === undefined
    ? []
    : [`leased with fence ${lease.fence}, whose ${ended.sent.outcome} was acknowledged`];
}

/** A lease that nobody ended goes on. */
function leaseKept({ holds, moves }: Story, { lease }: TaskMessage, { to }: Snapshot): string[] {
  const last = holds.at(-1);
  if (last === undefined || last.isLost || moves.length > 0) return [];
  if (last.endings.some(({ verdict }) => verdict !== "refused")) return [];
  const { fence, expiresAt } = last.grant;
  return expiresAt <= to || lease?.fence === fence
    ? []
    : [`its lease with fence ${fence} runs until ${expiresAt}`];
}

function notForgotten({ state, lease, runAt }: TaskMessage, { to }: Snapshot): string[] {
  const end = state === "scheduled" ? runAt : (lease?.expiresAt ?? to);
  return end + FORGOTTEN_MS < to ? [`its time was over ${to - end} ms ago`] : [];
}

function attemptsFit(story: Story, task: TaskMessage, unheard: readonly number[]): string[] {
  const { least, most } = countAttempts(story, unheard);
  const fits = task.attempt >= least && task.attempt <= most;
  return fits ? [] : [`${task.attempt} attempts are counted, expected ${range(least, most)}`];
}
