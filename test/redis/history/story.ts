import {
  type Asked,
  type Call,
  type EndingSent,
  type EnqueueSent,
  type Grant,
  hadNoEffect,
  type Refusal,
} from "./call.ts";
import type { Moment } from "./moment.ts";

/** A span in which a store may lose what it acknowledged, because its durability promises no more. */
export interface Loss {
  readonly from: Moment;
  readonly to: Moment;
}

/** `acknowledged`: it happened. `refused`: it did not. `unknown`: one of both, now or at any later time. */
export type Verdict = "acknowledged" | "refused" | "unknown";

/** Something done to a task by its holder or an operator. */
export interface Deed {
  readonly invoked: Moment;
  readonly answered: Moment | undefined;
  readonly verdict: Verdict;
  /** The code, when it was refused or left open. */
  readonly code?: string;
}

export interface Ending extends Deed {
  readonly sent: EndingSent;
  /** Where the task went, when it was acknowledged. */
  readonly state?: string;
  readonly runAt?: number;
}

export interface Beat extends Deed {
  readonly leaseMs: number;
  readonly expiresAt?: number;
}

export interface Move extends Deed {
  readonly verb: "cancel" | "requeue" | "forceRelease";
}

/** One claim of one task, and what its holder did with it. */
export interface Hold {
  readonly grant: Grant;
  readonly who: string;
  readonly invoked: Moment;
  readonly answered: Moment;
  /** Where in the answer it stood. */
  readonly place: number;
  /** Its answer is worth no more than none. */
  readonly isLost: boolean;
  readonly endings: Ending[];
  readonly beats: Beat[];
}

export interface Enqueued extends Deed {
  readonly sent: EnqueueSent;
  /** Of this call; `place` is where in it. */
  readonly call: Call;
  readonly place: number;
  /** What it was answered, also in a span of loss. */
  readonly id?: string;
  readonly runAt?: number;
}

/** All that is known of one task, or of one enqueue that nobody saw come to anything. */
export interface Story {
  readonly id: string;
  /** In the order of their beginnings; more than one when it was sent again with its key. */
  readonly enqueues: Enqueued[];
  /** In the order of their fences. */
  readonly holds: Hold[];
  readonly moves: Move[];
}

export interface Stories {
  readonly tasks: ReadonlyMap<string, Story>;
  /** By number: enqueues that were never answered with an id, and of which nobody saw a task. */
  readonly open: ReadonlyMap<number, readonly Enqueued[]>;
  /** Claims of which nobody knows what they took, by queue: when they were sent, earliest first. */
  readonly unheard: ReadonlyMap<string, readonly Moment[]>;
  /** What the calls themselves show to be wrong. */
  readonly faults: readonly string[];
}

/** Tells the history task by task. */
export function tellStories(
  calls: readonly Call[],
  losses: readonly Loss[],
  disturbances: readonly Loss[],
): Stories {
  const teller = new Teller(losses, disturbances);
  for (const call of calls) teller.enqueues(call);
  for (const call of calls) teller.claims(call);
  for (const call of calls) teller.deeds(call);
  return teller.end();
}

class Teller {
  readonly #tasks = new Map<string, Story>();
  readonly #open = new Map<number, Enqueued[]>();
  readonly #unheard = new Map<string, Moment[]>();
  readonly #holds = new Map<string, Hold>();
  readonly #faults: string[] = [];
  readonly #losses: readonly Loss[];
  readonly #disturbances: readonly Loss[];

  constructor(losses: readonly Loss[], disturbances: readonly Loss[]) {
    this.#losses = losses;
    this.#disturbances = disturbances;
  }

  end(): Stories {
    for (const story of this.#tasks.values()) {
      story.holds.sort((a, b) => a.grant.fence - b.grant.fence);
      this.#adopt(story);
    }
    this.#checkNumbers();
    for (const times of this.#unheard.values()) times.sort((a, b) => a - b);
    return { tasks: this.#tasks, open: this.#open, unheard: this.#unheard, faults: this.#faults };
  }

  /** Which of the enqueues of a number made its task is open, when one that came first was not answered. */
  #adopt({ enqueues, holds }: Story): void {
    const number = enqueues[0]?.sent.number ?? holds[0]?.grant.number ?? -1;
    enqueues.push(...(this.#open.get(number) ?? []));
    enqueues.sort((a, b) => a.invoked - b.invoked);
  }

  #checkNumbers(): void {
    const ids = new Map<number, string>();
    for (const { id, enqueues, holds } of this.#tasks.values()) {
      const numbers = new Set([
        ...enqueues.map(({ sent }) => sent.number),
        ...holds.map(({ grant }) => grant.number),
      ]);
      if (numbers.size > 1) this.#faults.push(`${id}: the id was given to ${[...numbers].join(" and ")}`);
      for (const number of numbers) {
        const twin = ids.get(number);
        if (twin !== undefined) this.#faults.push(`${id}: enqueue ${number} also made ${twin}`);
        ids.set(number, id);
        this.#open.delete(number);
      }
    }
  }

  enqueues(call: Call): void {
    if (call.asked.verb !== "enqueue") return;
    for (const [place, sent] of call.asked.items.entries()) {
      const answer = call.reply?.enqueued?.[place];
      const error = answer !== undefined && "error" in answer ? answer.error : call.error;
      const deed = { ...this.#deed(call, error), sent, call, place };
      if (answer !== undefined && "id" in answer)
        this.#story(answer.id).enqueues.push({ ...deed, ...answer });
      else if (deed.verdict === "unknown")
        this.#open.set(sent.number, [...(this.#open.get(sent.number) ?? []), deed]);
    }
  }

  claims(call: Call): void {
    const sent = claimOf(call.asked);
    if (sent === undefined) return;
    const { answered, reply } = call;
    const isLost = answered !== undefined && this.#isLost(answered);
    const isUnheard = (reply === undefined && !hadNoEffect(call.error)) || isLost;
    if (isUnheard || this.#mayHaveTakenMore(call, sent.waitMs))
      for (const queue of sent.queues) this.#unheardOf(queue).push(call.invoked);
    if (answered === undefined || reply?.tasks === undefined) return;
    if (reply.tasks.length > sent.max)
      this.#faults.push(`${call.who} asked for ${sent.max} tasks and got ${reply.tasks.length}`);
    for (const [place, grant] of reply.tasks.entries()) {
      if (!sent.queues.includes(grant.queue))
        this.#faults.push(`${grant.id}: claimed from ${sent.queues.join(", ")}, it is of ${grant.queue}`);
      const { who, invoked } = call;
      const hold: Hold = { grant, who, invoked, answered, place, isLost, endings: [], beats: [] };
      this.#story(grant.id).holds.push(hold);
      this.#holds.set(`${grant.id} ${grant.token}`, hold);
    }
  }

  /**
   * A claim that waits outlives a broken connection: what an answer that was lost had leased comes back unheard.
   * And one that came with endings answers nothing when it failed, for these are told in any case.
   */
  #mayHaveTakenMore({ asked, invoked, answered }: Call, waitMs: number): boolean {
    if (answered === undefined || (asked.verb === "claim" && waitMs === 0)) return false;
    return this.#disturbances.some(({ from, to }) => invoked <= to && answered >= from);
  }

  deeds(call: Call): void {
    const { asked, reply } = call;
    if (asked.verb === "settle") {
      for (const [place, sent] of asked.endings.entries()) {
        const answer = reply?.ended?.[place];
        const deed = this.#deed(call, answer !== undefined && "error" in answer ? answer.error : call.error);
        const told = answer === undefined || "error" in answer ? {} : answer;
        this.#holdOf(call, sent)?.endings.push({ ...deed, ...told, sent });
      }
    } else if (asked.verb === "heartbeat") {
      for (const [place, sent] of asked.beats.entries()) {
        const answer = reply?.beaten?.[place];
        const deed = this.#deed(call, answer !== undefined && "error" in answer ? answer.error : call.error);
        const told = answer === undefined || "error" in answer ? {} : answer;
        this.#holdOf(call, sent)?.beats.push({ ...deed, ...told, leaseMs: sent.leaseMs });
      }
    } else if (asked.verb !== "enqueue" && asked.verb !== "claim") {
      this.#story(asked.id).moves.push({ ...this.#deed(call, call.error), verb: asked.verb });
    }
  }

  #holdOf({ who }: Call, { id, token }: { readonly id: string; readonly token: string }): Hold | undefined {
    const hold = this.#holds.get(`${id} ${token}`);
    if (hold === undefined) this.#faults.push(`${who} ended ${id} with a token that nobody was given`);
    return hold;
  }

  #deed(call: Call, error: Refusal | undefined): Deed {
    const { invoked, answered } = call;
    const code = error === undefined ? {} : { code: error.code };
    return { invoked, answered, verdict: this.#verdict(call, error), ...code };
  }

  #verdict({ answered, reply }: Call, error: Refusal | undefined): Verdict {
    if (hadNoEffect(error)) return "refused";
    if (error !== undefined || reply === undefined || answered === undefined) return "unknown";
    return this.#isLost(answered) ? "unknown" : "acknowledged";
  }

  #isLost(at: Moment): boolean {
    return this.#losses.some(({ from, to }) => at >= from && at <= to);
  }

  #story(id: string): Story {
    const known = this.#tasks.get(id);
    if (known !== undefined) return known;
    const story: Story = { id, enqueues: [], holds: [], moves: [] };
    this.#tasks.set(id, story);
    return story;
  }

  #unheardOf(queue: string): Moment[] {
    const known = this.#unheard.get(queue);
    if (known !== undefined) return known;
    const times: Moment[] = [];
    this.#unheard.set(queue, times);
    return times;
  }
}

function claimOf(asked: Asked) {
  return asked.verb === "claim" || asked.verb === "settle" ? asked.claim : undefined;
}
