import assert from "node:assert/strict";
import fc from "fast-check";
import { aTask } from "../../src/storage/contract/builders.ts";
import type { ClaimAsk, ClaimReply, Settlement } from "../../src/storage/storage.ts";
import type { LeaseToken, QueueName, TaskId } from "../../src/task/ids.ts";
import { LIMITS } from "../../src/task/limits.ts";
import type { ClaimedTask, NewTask, TaskState } from "../../src/task/task.ts";
import type { Durations } from "./durations.ts";
import type { Expected } from "./model-queue.ts";
import { viewOf } from "./model-task.ts";
import { assertSame, type Claim, QUEUES, type Real, same, type World } from "./world.ts";

/**
 * What a run is made of: each command does one thing to the engine and to the model, compares the answers,
 * and then compares everything that can be seen.
 */
export type Command = fc.AsyncCommand<World, Real>;

type Play = (world: World, real: Real) => Promise<void>;

class Step implements Command {
  readonly #name: string;
  readonly #play: Play;

  constructor(name: string, play: Play) {
    this.#name = name;
    this.#play = play;
  }

  check(): boolean {
    return true;
  }

  async run(world: World, real: Real): Promise<void> {
    world.turn += 1;
    await this.#play(world, real);
    await assertSame(world, real);
  }

  toString(): string {
    return this.#name;
  }
}

/** A command from the values that it is drawn with; they are its name in a counterexample. */
function command<T>(
  name: string,
  values: fc.Arbitrary<T>,
  play: (value: T, ...at: Parameters<Play>) => Promise<void>,
) {
  return values.map(
    (value) => new Step(`${name}(${JSON.stringify(value)})`, (world, real) => play(value, world, real)),
  );
}

export const queue = fc.constantFrom(...QUEUES, QUEUES[0] as QueueName, QUEUES[0] as QueueName);
export const pick = fc.nat({ max: 1_000 });
const limit = fc.constantFrom(1, 2, 3, 500);
const worker = fc.constantFrom("w1", "w2", "größer 🦔");
export const asks = ({ leaseMs }: Durations) => fc.array(ask(leaseMs), { minLength: 1, maxLength: 3 });
const ask = (leaseMs: fc.Arbitrary<number>) =>
  fc.record(
    {
      max: fc.nat({ max: 8 }),
      leaseMs,
      worker,
      bytesMax: fc.constantFrom(1, 30, 1_000_000, 1_000_000),
    },
    { requiredKeys: ["max"] },
  );

export const newTask = ({ delayMs, backoff, everyTaskHasBackoff }: Durations) =>
  fc
    .record(
      {
        priority: fc.constantFrom(0, 0, 1, 9),
        delayMs: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: delayMs }),
        maxAttempts: fc.constantFrom(1, 1, 2, 3),
        // As long as each other, so that the oldest of several of one millisecond may be any of them.
        payload: fc.constantFrom('"task ü 1"', '"task ü 2"'),
        backoff,
        tags: fc.constantFrom({ tenant: "nord" }),
      },
      { requiredKeys: everyTaskHasBackoff ? ["payload", "backoff"] : ["payload"] },
    )
    .chain((task) =>
      fc.oneof(
        { weight: 4, arbitrary: fc.constant(task) },
        {
          weight: 1,
          arbitrary: fc.constantFrom("a", "b", "c").map((idempotencyKey) => ({ ...task, idempotencyKey })),
        },
      ),
    );

const enqueueTasks = (of: Durations) =>
  command(
    "enqueue",
    fc.record({ queue, wanted: fc.array(newTask(of), { minLength: 1, maxLength: 8 }) }),
    async ({ queue, wanted }, world, real) => {
      const tasks = wanted.map((wish) => aTask(wish as Partial<NewTask>, queue));
      await enqueueBoth(world, real, queue, tasks);
      world.sentTo(queue).push(...tasks);
    },
  );

/** What a connection does that lost the answer. */
const enqueueAgain = command(
  "enqueue again",
  fc.record({ queue, picks: fc.array(pick, { minLength: 1, maxLength: 3 }) }),
  async ({ queue, picks }, world, real) => {
    const here = world.sentTo(queue).filter(({ id }) => world.queue(queue).tasks.has(id));
    await enqueueBoth(
      world,
      real,
      queue,
      picks.flatMap((place) => here[place % here.length] ?? []),
    );
  },
);

const claimTasks = (of: Durations) =>
  command("claim", fc.record({ queue, asks: asks(of) }), async ({ queue, asks }, world, real) => {
    const reply = await real.storage.claim(queue, asks as ClaimAsk[]);
    takeGrants(world, queue, asks as ClaimAsk[], reply);
  });

const completion = fc.record(
  { outcome: fc.constant("complete"), result: fc.constant('"done 1"') },
  { requiredKeys: ["outcome"] },
);
export const ending = ({ delayMs }: Durations) =>
  fc.oneof(
    completion,
    completion,
    fc.record(
      {
        outcome: fc.constant("nack"),
        error: fc.constantFrom("", "told", `long ${"ü".repeat(1_000)}`),
        delayMs,
        random: fc.constantFrom(0, 0.3, 0.999),
      },
      { requiredKeys: ["outcome", "random"] },
    ),
    fc.record({ outcome: fc.constant("nack"), delayMs: fc.constant(0), random: fc.constant(0) }),
    fc.record({ outcome: fc.constant("refuse"), error: fc.constant("never") }, { requiredKeys: ["outcome"] }),
    fc.record({ outcome: fc.constant("release"), undelivered: fc.boolean() }, { requiredKeys: ["outcome"] }),
  );
/** Mostly a lease that lives; else any claim there ever was, or a token that was made up. */
export const target = fc.oneof(
  { weight: 12, arbitrary: fc.record({ of: fc.constant("held" as const), place: pick }) },
  { weight: 2, arbitrary: fc.record({ of: fc.constant("ever" as const), place: pick }) },
  { weight: 1, arbitrary: fc.record({ of: fc.constant("nobody" as const), place: pick }) },
);
export type Target = { readonly of: "held" | "ever" | "nobody"; readonly place: number };

const settleClaims = (of: Durations) =>
  command(
    "settle",
    fc.record({
      queue,
      endings: fc.array(fc.record({ target, ending: ending(of) }), { minLength: 1, maxLength: 8 }),
      asks: fc.option(asks(of), { nil: undefined }),
    }),
    async ({ queue, endings, asks }, world, real) => {
      const settlements = endings.flatMap(({ target, ending }) => {
        const claim = claimAt(world, queue, target);
        return claim === undefined ? [] : [{ ...ending, ...claim } as Settlement];
      });
      await settleBoth(world, real, queue, settlements, asks as ClaimAsk[] | undefined);
    },
  );

const heartbeat = ({ leaseMs }: Durations) =>
  command(
    "heartbeat",
    fc.record({
      queue,
      beats: fc.array(fc.record({ target, leaseMs: fc.option(leaseMs, { nil: undefined }) }), {
        maxLength: 4,
      }),
    }),
    async ({ queue, beats }, world, real) => {
      const asked = beats.flatMap(({ target, leaseMs }) => {
        const claim = claimAt(world, queue, target);
        return claim === undefined ? [] : [{ ...claim, ...(leaseMs !== undefined && { leaseMs }) }];
      });
      const outcomes = await real.storage.heartbeat(queue, asked);
      same(outcomes, world.queue(queue).heartbeat(asked), "the heartbeats");
    },
  );

const advance = ({ advanceMs }: Durations) =>
  command("advance", advanceMs, async (ms, world) => world.clock.advance(ms));

const promote = command("promoteDue", fc.record({ queue, limit }), async ({ queue, limit }, world, real) => {
  const model = world.queue(queue);
  const due = model.due();
  const reply = await real.storage.promoteDue(queue, limit);
  const promoted = due.slice(0, limit);
  const latenessMs = promoted.map(({ runAt }) => world.clock.now() - runAt);
  same(reply, { latenessMs, more: due.length > limit }, "the promotions");
  for (const task of promoted) model.promote(task);
});

const reap = command("reapExpired", fc.record({ queue, limit }), async ({ queue, limit }, world, real) => {
  const model = world.queue(queue);
  const expired = model.expired();
  const ends = expired.map(({ lease }) => lease?.expiresAt);
  const { reaped, more } = await real.storage.reapExpired(queue, limit);
  assert.equal(reaped.length, Math.min(limit, expired.length));
  assert.equal(more, expired.length > limit);
  for (const [place, { id, state }] of reaped.entries()) {
    const task = model.tasks.get(id);
    assert.ok(task?.lease, `I2: reaped ${id}, which nobody holds`);
    // Of those that end in one millisecond any may come first.
    assert.equal(task.lease.expiresAt, ends[place], "the earliest first");
    const [stored] = await real.storage.get(queue, [id]);
    assert.match(stored?.lastError ?? "", /lease expired/i);
    assert.equal(model.reap(task, stored?.lastError ?? ""), state);
  }
});

const prune = command("prune", fc.record({ queue, limit }), async ({ queue, limit }, world, real) => {
  const model = world.queue(queue);
  const all = model.prunable();
  let pruned = 0;
  for (let more = true; more; ) {
    const reply = await real.storage.prune(queue, limit);
    assert.ok(reply.pruned <= limit, "I9: more than its limit");
    assert.ok(reply.pruned > 0 || !reply.more, "prune says more and does nothing");
    ({ more } = reply);
    pruned += reply.pruned;
  }
  assert.equal(pruned, all.length, "pruned tasks");
  for (const task of all) model.remove(task, `${task.state as "completed" | "dead" | "cancelled"} → pruned`);
});

const purge = command(
  "purge",
  fc.record({
    queue,
    state: fc.constantFrom("scheduled", "ready", "completed", "dead", "cancelled"),
    limit: fc.constantFrom(1, 2, 3),
  }),
  async ({ queue, state, limit }, world, real) => {
    const model = world.queue(queue);
    const all = model.listing(state);
    const reply = await real.storage.purge(queue, state, limit);
    same(reply, { pruned: Math.min(limit, all.length), more: all.length > limit }, "the purge");
    for (const task of all.slice(0, limit)) model.remove(task, `${state} → purged`);
  },
);

export const ids = fc.array(
  fc.record({
    place: pick,
    from: fc.constantFrom<TaskState | "sent">(
      "scheduled",
      "ready",
      "leased",
      "dead",
      "cancelled",
      "completed",
      "sent",
    ),
  }),
  { minLength: 1, maxLength: 4 },
);
export type Pick = { readonly place: number; readonly from: TaskState | "sent" };

const cancel = command("cancel", fc.record({ queue, ids }), async ({ queue, ids }, world, real) => {
  const chosen = idsAt(world, queue, ids);
  same(await real.storage.cancel(queue, chosen), world.queue(queue).cancel(chosen), "the cancelled");
});

const requeue = command("requeue", fc.record({ queue, ids }), async ({ queue, ids }, world, real) => {
  const chosen = idsAt(world, queue, ids);
  same(await real.storage.requeue(queue, chosen), world.queue(queue).requeue(chosen), "the requeued");
});

const requeueDead = command(
  "requeueDead",
  fc.record({ queue, limit }),
  async ({ queue, limit }, world, real) => {
    const model = world.queue(queue);
    const dead = model.listing("dead").map(({ id }) => id);
    const reply = await real.storage.requeueDead(queue, limit);
    same(reply, { requeued: Math.min(limit, dead.length), more: dead.length > limit }, "the requeued");
    model.requeue(dead.slice(0, limit));
  },
);

const forceRelease = command(
  "forceRelease",
  fc.record({ queue, ids }),
  async ({ queue, ids }, world, real) => {
    const chosen = idsAt(world, queue, ids);
    same(
      await real.storage.forceRelease(queue, chosen),
      world.queue(queue).forceRelease(chosen),
      "the released",
    );
  },
);

/** A hundred releases of whatever can be claimed, so that the next one counts. */
const releaseHundredTimes = command("release a hundred times", queue, async (queue, world, real) => {
  const asks = [{ max: 20, leaseMs: 60_000 }];
  let settlements: Settlement[] = [];
  for (let time = 0; time <= LIMITS.releasesMax; time += 1) {
    const { outcomes, claim } = await real.storage.settle(queue, settlements, asks);
    assertOutcomes(outcomes, world.queue(queue).settle(settlements));
    takeGrants(world, queue, asks, claim);
    settlements = (claim.grants[0] ?? []).map(({ id, lease }) => ({
      outcome: "release",
      id,
      token: lease.token,
    }));
  }
  await settleBoth(world, real, queue, settlements, undefined);
});

const configure = ({ leaseMs, keptMs, backoff }: Durations) =>
  command(
    "configure",
    fc.record({
      queue,
      config: fc.record(
        {
          maxAttempts: fc.constantFrom(1, 2, 5),
          leaseMs,
          maxDepth: fc.constantFrom(null, null, null, 5, 30),
          backoff,
          retention: fc.record(
            {
              completedMs: keptMs,
              completedMax: fc.constantFrom(0, 2, 10_000),
              deadMs: keptMs,
              deadMax: fc.constantFrom(0, 2, 10_000),
              bytesMax: fc.constantFrom(0, 60, 268_435_456),
            },
            { requiredKeys: [] },
          ),
        },
        { requiredKeys: [] },
      ),
    }),
    async ({ queue, config }, world, real) => configureBoth(world, real, queue, { config } as never),
  );

const pause = command("pause", queue, async (queue, world, real) =>
  configureBoth(world, real, queue, { paused: true }),
);
const resume = command("resume", queue, async (queue, world, real) =>
  configureBoth(world, real, queue, { paused: false }),
);

const readByIds = command(
  "get",
  fc.record({ queue, picks: fc.array(pick, { maxLength: 5 }) }),
  async ({ queue, picks }, world, real) => {
    const sent = world.sentTo(queue);
    const chosen = picks.flatMap((place) => sent[place % sent.length]?.id ?? []);
    const expected = chosen.map((id) => world.queue(queue).tasks.get(id));
    same(
      await real.storage.get(queue, chosen),
      expected.map((task) => task && viewOf(task)),
      "the tasks by id",
    );
  },
);

const reopen = command("close and open", fc.constant(null), async (_, __, real) => real.reopen());
const crash = command("kill and open", fc.constant(null), async (_, __, real) => real.crash());
/** Lets the engine's background work come between two commands. */
const breathe = command("breathe", fc.constantFrom(1, 4), async (ms) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
});

const weighted = (of: Durations): readonly (readonly [number, fc.Arbitrary<Command>])[] => [
  [18, enqueueTasks(of)],
  [1, enqueueAgain],
  [18, claimTasks(of)],
  [18, settleClaims(of)],
  [3, heartbeat(of)],
  [8, advance(of)],
  [6, promote],
  [6, reap],
  [9, prune],
  [11, purge],
  [11, cancel],
  [9, requeue],
  [2, requeueDead],
  [6, forceRelease],
  [1, releaseHundredTimes],
  [4, configure(of)],
  [1, pause],
  [4, resume],
  [1, readByIds],
  [1, reopen],
  [1, crash],
  [1, breathe],
];

/** Every command as often as its weight says, with times of this kind. */
export function commandsWith(durations: Durations): fc.Arbitrary<Command>[] {
  return weighted(durations).flatMap(([weight, arbitrary]) =>
    Array.from({ length: weight }, () => arbitrary),
  );
}

async function enqueueBoth(
  world: World,
  real: Real,
  queue: QueueName,
  tasks: readonly NewTask[],
): Promise<void> {
  const outcomes = await real.storage.enqueue(queue, tasks);
  same(outcomes, world.queue(queue).enqueue(tasks), "the enqueued");
}

async function configureBoth(
  world: World,
  real: Real,
  queue: QueueName,
  change: Parameters<Real["storage"]["configure"]>[1],
): Promise<void> {
  const snapshot = await real.storage.configure(queue, change);
  world.queue(queue).configure(change);
  same(snapshot, world.queue(queue).snapshot(), "the configured queue");
}

async function settleBoth(
  world: World,
  real: Real,
  queue: QueueName,
  settlements: readonly Settlement[],
  asks: readonly ClaimAsk[] | undefined,
): Promise<void> {
  const { outcomes, claim } = await real.storage.settle(queue, settlements, asks);
  assertOutcomes(outcomes, world.queue(queue).settle(settlements));
  takeGrants(world, queue, asks ?? [], claim);
}

/** The model leaves out how long a repeated completion says that it ran. */
function assertOutcomes(actual: readonly object[], expected: readonly Expected[]): void {
  const compared = actual.map((outcome, place) =>
    Object.fromEntries(Object.entries(outcome).filter(([name]) => name in (expected[place] ?? {}))),
  );
  same(compared, expected, "the outcomes");
}

function takeGrants(world: World, queue: QueueName, asks: readonly ClaimAsk[], reply: ClaimReply): void {
  const model = world.queue(queue);
  const expected = model.grants(asks);
  same(
    reply.grants.map((grant) => grant.map(({ id }) => id)),
    expected.map((grant) => grant.map(({ id }) => id)),
    "I6: the grants",
  );
  for (const [place, grant] of expected.entries())
    for (const [index, task] of grant.entries()) {
      const granted = reply.grants[place]?.[index] as ClaimedTask;
      const { token, fence } = granted.lease;
      world.granted(queue, task, granted, () => model.lease(task, asks[place] as ClaimAsk, token, fence));
    }
  assert.equal(reply.more, model.hasClaimable, "more");
}

export function claimAt(world: World, queue: QueueName, { of, place }: Target): Claim | undefined {
  const ever = world.claimsOf(queue);
  if (of === "nobody") {
    const claim = ever[place % ever.length];
    return claim && { ...claim, token: `${claim.token}x` as LeaseToken };
  }
  const held = world
    .queue(queue)
    .places.leased.filter(({ lease }) => world.clock.now() < (lease?.expiresAt ?? 0));
  const task = held[place % held.length];
  if (of === "held" && task !== undefined) return { id: task.id, token: task.token as LeaseToken };
  return ever[place % ever.length];
}

export function idsAt(world: World, queue: QueueName, picks: readonly Pick[]): readonly TaskId[] {
  return picks.flatMap(({ place, from }) => {
    const tasks = from === "sent" ? world.sentTo(queue) : world.queue(queue).places[from];
    return tasks[place % tasks.length]?.id ?? [];
  });
}
