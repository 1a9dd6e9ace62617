import assert from "node:assert/strict";
import fc from "fast-check";
import type { EnqueueRequest, EnqueueResult, SettleRequest } from "../../src/broker/requests.ts";
import { aTask } from "../../src/storage/contract/builders.ts";
import type { ClaimAsk, EnqueueOutcome, Settlement } from "../../src/storage/storage.ts";
import { DibsError } from "../../src/task/errors.ts";
import { type QueueName, queueOf, type TaskId } from "../../src/task/ids.ts";
import type { NewTask } from "../../src/task/task.ts";
import type { BrokerWorld, RealBroker } from "./broker-world.ts";
import { asks, claimAt, ending, ids, idsAt, newTask, pick, queue, target } from "./commands.ts";
import { EXACT } from "./durations.ts";
import type { Expected, ModelQueue } from "./model-queue.ts";
import type { ModelTask } from "./model-task.ts";
import { QUEUES, same } from "./world.ts";

const { leaseMs } = EXACT;

/** The broker's commands: as those of the port, and callers who come together, wait, and go away. */
export type BrokerCommand = fc.AsyncCommand<BrokerWorld, RealBroker>;

/** The broker draws the jitter of every backoff with this. */
export const RANDOM = 0.3;

type Play = (model: BrokerWorld, real: RealBroker) => Promise<void>;

class Step implements BrokerCommand {
  readonly #name: string;
  readonly #play: Play;

  constructor(name: string, play: Play) {
    this.#name = name;
    this.#play = play;
  }

  check(): boolean {
    return true;
  }

  async run(model: BrokerWorld, real: RealBroker): Promise<void> {
    await this.#play(model, real);
    await model.settleDown(real);
  }

  toString(): string {
    return this.#name;
  }
}

function command<T>(
  name: string,
  values: fc.Arbitrary<T>,
  play: (value: T, ...at: Parameters<Play>) => Promise<void>,
) {
  return values.map(
    (value) => new Step(`${name}(${JSON.stringify(value)})`, (model, real) => play(value, model, real)),
  );
}

const together = fc.boolean();

const enqueueTasks = command(
  "enqueue",
  fc.record({
    wanted: fc.array(fc.record({ queue, task: newTask(EXACT) }), { minLength: 1, maxLength: 8 }),
    together,
  }),
  async ({ wanted, together }, { world }, { broker }) => {
    const requests = wanted.map(({ queue, task }) => ({ ...task, queue }) as EnqueueRequest);
    const results = together
      ? await Promise.all(requests.map((request) => broker.enqueue(request).catch(asError)))
      : await broker.enqueueMany(requests);
    for (const [place, request] of requests.entries())
      enqueueInModel(
        world.queue(request.queue),
        request,
        results[place] as EnqueueResult | DibsError,
        (task) => world.sentTo(request.queue).push(task),
      );
  },
);

/** The broker chose the id; all else must be as the model says. */
function enqueueInModel(
  model: ModelQueue,
  { queue, ...wish }: EnqueueRequest,
  result: EnqueueResult | DibsError,
  sent: (task: NewTask) => void,
): void {
  const isNew = !(result instanceof DibsError) && !result.deduplicated;
  // The hash is the payload itself: the payloads of this model differ also as JSON values.
  const task = aTask(
    { ...wish, ...(wish.idempotencyKey !== undefined && { payloadHash: wish.payload }) },
    queue,
  );
  const withId = isNew ? { ...task, id: result.task.id } : task;
  const [outcome] = model.enqueue([withId]);
  if (outcome?.kind === "enqueued") sent(withId);
  if (result instanceof DibsError) assert.equal(result.code, ERRORS[outcome?.kind as keyof typeof ERRORS]);
  else same(result, resultOf(queue, outcome as EnqueueOutcome), "the enqueued");
}

const ERRORS = { conflict: "idempotency_conflict", "queue-full": "queue_full" } as const;

function resultOf(queue: QueueName, outcome: EnqueueOutcome): unknown {
  if (outcome.kind === "pruned")
    return { task: { id: outcome.id, queue, state: "pruned" }, deduplicated: true };
  return "task" in outcome ? { task: outcome.task, deduplicated: outcome.kind === "deduplicated" } : outcome;
}

const claimTogether = command(
  "claim",
  fc.record({ queue, asks: asks(EXACT) }),
  async ({ queue, asks }, model, { broker }) => {
    const claims = (asks as ClaimAsk[]).filter(({ max }) => max > 0).map(({ bytesMax, ...ask }) => ask);
    const answers = await Promise.all(
      claims.map((ask) => broker.claim({ ...ask, queues: [queue], waitMs: 0 })),
    );
    for (const [place, ask] of claims.entries())
      model.granted(queue, ask, model.world.queue(queue).grants([ask])[0] ?? [], answers[place] ?? []);
  },
);

const claimOfSeveral = command(
  "claim of several queues",
  fc.record({ queues: fc.constantFrom(QUEUES, QUEUES.toReversed()), max: fc.integer({ min: 1, max: 9 }) }),
  async ({ queues, max }, model, { broker }) => {
    const granted = await broker.claim({ queues, max, waitMs: 0 });
    let left = max;
    let from = 0;
    for (const queue of queues) {
      const expected = model.world.queue(queue).grants([{ max: left }])[0] ?? [];
      model.granted(queue, { max: left }, expected, granted.slice(from, from + expected.length));
      from += expected.length;
      left -= expected.length;
    }
    assert.equal(granted.length, from, "more tasks than were ready");
  },
);

const park = command(
  "park a claim",
  fc.record({ queue, max: fc.integer({ min: 1, max: 3 }), leaseMs }),
  async ({ queue, ...ask }, model, real) => model.park(real, queue, ask),
);

const leave = command("go away while waiting", pick, async (place, model) => model.leave(place));

/** What was claimed for somebody who is gone goes back to where it was, uncounted. */
const vanish = command(
  "claim and vanish",
  fc.record({ queue, max: fc.integer({ min: 1, max: 3 }), turns: fc.nat({ max: 4 }) }),
  async ({ queue, max, turns }, model, real) => {
    const controller = new AbortController();
    const answer = real.broker.claim({ queues: [queue], max, waitMs: 0 }, controller.signal);
    for (let turn = 0; turn < turns; turn += 1) await null;
    controller.abort();
    const granted = await answer;
    if (granted.length > 0)
      model.granted(queue, { max }, model.world.queue(queue).grants([{ max }])[0] ?? [], granted);
    await model.givenBack(real, queue);
  },
);

const settleClaims = command(
  "settle",
  fc.record({
    endings: fc.array(fc.record({ queue, target, ending: ending(EXACT) }), { minLength: 1, maxLength: 8 }),
    claim: fc.option(fc.record({ queue, max: fc.integer({ min: 1, max: 4 }) }), { nil: undefined }),
    together,
  }),
  async ({ endings, claim, together }, model, { broker }) => {
    const settlements = endings.flatMap(({ queue, target, ending }) => {
      const held = claimAt(model.world, queue, target);
      // Only the broker itself gives back what nobody received.
      const { undelivered, random, ...said } = ending as Settlement & {
        undelivered?: boolean;
        random?: number;
      };
      return held === undefined ? [] : [{ ...said, ...held } as SettleRequest];
    });
    if (settlements.length === 0) return;
    const request = claim && { queues: [claim.queue], max: claim.max, waitMs: 0 };
    const { results, tasks } = together
      ? {
          results: await Promise.all(settlements.map((one) => broker.settleOne(one).catch(asError))),
          tasks: [],
        }
      : await broker.settle(settlements, request);
    assertResults(settlements, results, settleInModel(model, settlements));
    if (claim === undefined || together) return;
    const { queue, max } = claim;
    model.granted(queue, { max }, model.world.queue(queue).grants([{ max }])[0] ?? [], tasks);
  },
);

function settleInModel(model: BrokerWorld, settlements: readonly SettleRequest[]): readonly Expected[] {
  const expected: Expected[] = [];
  for (const queue of QUEUES) {
    const places = settlements.flatMap(({ id }, place) => (queueOf(id) === queue ? [place] : []));
    const here = places.map((place) => ({ random: RANDOM, ...settlements[place] }) as Settlement);
    const outcomes = model.world.queue(queue).settle(here);
    for (const [index, place] of places.entries()) expected[place] = outcomes[index] as Expected;
  }
  return expected;
}

function assertResults(
  asked: readonly { readonly id: TaskId }[],
  results: readonly unknown[],
  expected: readonly Expected[],
): void {
  for (const [place, { id }] of asked.entries()) {
    const { kind, state, runAt } = expected[place] as Expected;
    const result = results[place];
    if (kind === "not-found") assertError(result, "task_not_found", undefined);
    else if (kind === "lease-lost") assertError(result, "lease_lost", state);
    else if (kind === "wrong-state") assertError(result, "wrong_state", state);
    else same(result, { id, state: kind, ...(runAt !== undefined && { runAt }) }, "the settled");
  }
}

function assertError(result: unknown, code: string, state: unknown): void {
  assert.ok(result instanceof DibsError, `Expected ${code}, got ${JSON.stringify(result)}`);
  assert.equal(result.code, code);
  if (state !== undefined) assert.equal(result.details["state"], state);
}

const heartbeat = command(
  "heartbeat",
  fc.array(fc.record({ queue, target, leaseMs: fc.option(leaseMs, { nil: undefined }) }), { maxLength: 4 }),
  async (beats, { world }, { broker }) => {
    const asked = beats.flatMap(({ queue, target, leaseMs }) => {
      const held = claimAt(world, queue, target);
      return held === undefined ? [] : [{ ...held, ...(leaseMs !== undefined && { leaseMs }) }];
    });
    const results = await broker.heartbeat(asked);
    for (const [place, beat] of asked.entries()) {
      const [expected = {}] = world.queue(queueOf(beat.id)).heartbeat([beat]);
      if (expected["kind"] !== "extended") assertResults([beat], [results[place]], [expected]);
      else same(results[place], { id: beat.id, expiresAt: expected["expiresAt"] }, "the heartbeat");
    }
  },
);

const advance = command(
  "advance",
  fc.constantFrom(
    0,
    1,
    499,
    1_000,
    1_000,
    5_000,
    5_000,
    9_999,
    10_000,
    30_000,
    60_000,
    3_600_000,
    86_400_000,
  ),
  async (ms, model, real) => model.advance(ms, real),
);

const cancel = moveOne(
  "cancel",
  async ({ broker }, id) => broker.cancel(id),
  (queue, id) => queue.cancel([id]),
);
const requeue = moveOne(
  "requeue",
  async ({ broker }, id) => broker.requeue(id),
  (queue, id) => queue.requeue([id]),
);
const forceRelease = moveOne(
  "forceRelease",
  async ({ broker }, id) => broker.forceRelease(id),
  (queue, id) => queue.forceRelease([id]),
);

function moveOne(
  name: string,
  inBroker: (real: RealBroker, id: TaskId) => Promise<unknown>,
  inModel: (queue: ModelQueue, id: TaskId) => readonly Expected[],
) {
  return command(name, fc.record({ queue, ids }), async ({ queue, ids }, { world }, real) => {
    for (const id of idsAt(world, queue, ids).slice(0, 1)) {
      const result = await inBroker(real, id).catch(asError);
      const [expected = {}] = inModel(world.queue(queue), id);
      if (expected["kind"] === "moved") same(result, expected["task"], `the task after ${name}`);
      else assertResults([{ id }], [result], [expected]);
    }
  });
}

const requeueDead = command(
  "requeueDead",
  fc.record({ queue, limit: fc.constantFrom(1, 2, 10_000) }),
  async ({ queue, limit }, { world }, { broker }) => {
    const model = world.queue(queue);
    if (!model.exists) return assertMissing(() => broker.requeueDead(queue, limit));
    const dead = model
      .listing("dead")
      .slice(0, limit)
      .map(({ id }) => id);
    assert.equal(await broker.requeueDead(queue, limit), dead.length);
    model.requeue(dead);
  },
);

const purge = command(
  "purge",
  fc.record({ queue, state: fc.constantFrom("scheduled", "ready", "completed", "dead", "cancelled") }),
  async ({ queue, state }, { world }, { broker }) => {
    const model = world.queue(queue);
    if (!model.exists) return assertMissing(() => broker.purge(queue, state));
    const all: readonly ModelTask[] = [...model.listing(state)];
    assert.equal(await broker.purge(queue, state), all.length);
    for (const task of all) model.remove(task, `${state} → purged`);
  },
);

const configure = command(
  "configure",
  fc.record({
    queue,
    config: fc.record(
      {
        maxAttempts: fc.constantFrom(1, 2, 5),
        leaseMs,
        maxDepth: fc.constantFrom(null, null, null, 5, 30),
        retention: fc.record(
          {
            completedMs: fc.constantFrom(0, 3_600_000, 3_600_000),
            completedMax: fc.constantFrom(0, 10_000, 10_000),
            deadMs: fc.constantFrom(0, 3_600_000, 3_600_000),
            deadMax: fc.constantFrom(2, 10_000, 10_000),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
  }),
  async ({ queue, config }, { world }, { broker }) => {
    await broker.configure(queue, config as never);
    world.queue(queue).configure({ config } as never);
  },
);

const pause = pausing("pause", true);
const resume = pausing("resume", false);

function pausing(name: "pause" | "resume", paused: boolean) {
  return command(name, queue, async (queue, { world }, { broker }) => {
    if (!world.queue(queue).exists) return assertMissing(() => broker[name](queue));
    await broker[name](queue);
    world.queue(queue).configure({ paused });
  });
}

const awaitResult = command(
  "await a result",
  fc.record({ queue, ids }),
  async ({ queue, ids }, model, real) => {
    for (const id of idsAt(model.world, queue, ids).slice(0, 1)) model.awaitResult(real, id);
  },
);

const reopen = command("close and open", fc.constant(null), async (_, model, real) => {
  await real.reopen();
  await model.closed();
});

const WEIGHTED: readonly (readonly [number, fc.Arbitrary<BrokerCommand>])[] = [
  [16, enqueueTasks],
  [12, claimTogether],
  [4, claimOfSeveral],
  [7, park],
  [2, leave],
  [4, vanish],
  [18, settleClaims],
  [3, heartbeat],
  [12, advance],
  [18, cancel],
  [16, requeue],
  [10, forceRelease],
  [1, requeueDead],
  [12, purge],
  [4, configure],
  [1, pause],
  [4, resume],
  [3, awaitResult],
  [1, reopen],
];

export const BROKER_COMMANDS: fc.Arbitrary<BrokerCommand>[] = WEIGHTED.flatMap(([weight, arbitrary]) =>
  Array.from({ length: weight }, () => arbitrary),
);

async function assertMissing(call: () => Promise<unknown>): Promise<void> {
  assertError(await call().catch(asError), "queue_not_found", undefined);
}

function asError(error: unknown): DibsError {
  if (error instanceof DibsError) return error;
  throw error;
}
