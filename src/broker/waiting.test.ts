import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  gate,
  nacked,
  opened,
  openedAtRest,
  payloads,
  RENDERS,
  released,
  settledDown,
  until,
} from "../../test/broker/opened.ts";
import { ShuttingDownError, StorageUnavailableError } from "../task/errors.ts";
import type { QueueName } from "../task/ids.ts";
import type { ClaimedTask } from "../task/task.ts";
import type { Broker } from "./broker.ts";

const LONG = 60_000;

describe("a claim that waits", () => {
  it("is handed a task in the turn in which it is enqueued", async () => {
    const { broker } = await opened();
    await broker.configure(EMAILS, {});
    const waiting = broker.claim(aClaim({ waitMs: LONG }));
    await settledDown();
    expect((await broker.queue(EMAILS)).waiting).toBe(1);

    await broker.enqueue(anEnqueue({ payload: "1" }));

    expect(payloads(await waiting)).toEqual(["1"]);
    expect((await broker.queue(EMAILS)).waiting).toBe(0);
  });

  it("is served in order of arrival", async () => {
    const { broker } = await opened();
    const served: number[] = [];
    const waiting = Array.from({ length: 40 }, (_, index) =>
      broker.claim(aClaim({ waitMs: LONG })).then((tasks) => {
        served.push(index);
        return tasks;
      }),
    );
    await settledDown();

    await broker.enqueueMany(Array.from({ length: 15 }, (_, index) => anEnqueue({ payload: `${index}` })));
    for (let index = 15; index < 40; index += 1) await broker.enqueue(anEnqueue({ payload: `${index}` }));

    const tasks = (await Promise.all(waiting)).flat();
    expect(served).toEqual(Array.from({ length: 40 }, (_, index) => index));
    expect(payloads(tasks)).toEqual(Array.from({ length: 40 }, (_, index) => `${index}`));
  });

  it("comes before a waiting claim that arrives later, even while a task is on its way", async () => {
    const { broker, witness } = await opened();
    const early = broker.claim(aClaim({ waitMs: LONG, worker: "early" }));
    await settledDown();
    const held = gate();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "enqueue") await held.opened;
      return reply;
    };

    const enqueued = broker.enqueue(anEnqueue());
    const late = broker.claim(aClaim({ waitMs: LONG, worker: "late" }));
    const [task] = await early;
    held.open();
    await enqueued;

    expect(task?.lease.worker).toBe("early");
    await broker.enqueue(anEnqueue());
    expect((await late).map(({ lease }) => lease.worker)).toEqual(["late"]);
  });

  it.each<[string, (at: Awaited<ReturnType<typeof openedAtRest>>, task: ClaimedTask) => Promise<unknown>]>([
    ["a nack without delay", ({ broker }, task) => broker.settleOne(nacked(task))],
    ["a release", ({ broker }, task) => broker.settleOne(released(task))],
    ["a forced release", ({ broker }, task) => broker.forceRelease(task.id)],
    [
      "a requeue",
      async ({ broker }, task) => {
        await broker.cancel(task.id);
        await broker.requeue(task.id);
      },
    ],
    [
      "a redrive of the dead",
      async ({ broker }, { id, lease }) => {
        await broker.settleOne({ outcome: "refuse", id, token: lease.token });
        await broker.requeueDead(EMAILS, 10);
      },
    ],
    [
      "a due time",
      async ({ broker, clock }, task) => {
        await broker.settleOne(nacked(task, 60_000));
        clock.advance(60_000);
        await broker.runDue();
      },
    ],
    [
      "the end of a lease",
      async ({ broker, clock }) => {
        clock.advance(30_000);
        await broker.runDue();
      },
    ],
    [
      "a resume",
      async ({ broker }, task) => {
        await broker.pause(EMAILS);
        await broker.settleOne(released(task));
        await broker.resume(EMAILS);
      },
    ],
  ])("is woken by %s", async (_name, makeReady) => {
    const at = await openedAtRest();
    await at.broker.enqueue(anEnqueue({ payload: "1" }));
    const [task] = await at.broker.claim(aClaim());
    const waiting = at.broker.claim(aClaim({ waitMs: LONG }));
    await settledDown();

    await makeReady(at, task!);

    expect(payloads(await waiting)).toEqual(["1"]);
  });

  it("hears nothing from a paused queue until it is resumed", async () => {
    const { broker } = await opened();
    await broker.configure(EMAILS, {});
    await broker.pause(EMAILS);
    let isAnswered = false;
    const waiting = broker.claim(aClaim({ waitMs: LONG })).finally(() => {
      isAnswered = true;
    });

    await broker.enqueue(anEnqueue({ payload: "1" }));
    await settledDown();
    expect(isAnswered).toBe(false);
    await broker.resume(EMAILS);

    expect(payloads(await waiting)).toEqual(["1"]);
  });

  it("is answered with nothing when its time is over, and leaves no trace", async () => {
    const { broker } = await opened();

    const answers = await Promise.all([1, 5, 20].map((waitMs) => broker.claim(aClaim({ waitMs }))));

    expect(answers).toEqual([[], [], []]);
    await broker.enqueue(anEnqueue());
    await settledDown();
    expect(await broker.queue(EMAILS)).toMatchObject({ waiting: 0, counts: { ready: 1, leased: 0 } });
  });

  it("waits in all its queues, is woken by any, and takes from one only", async () => {
    const { broker } = await opened();
    const waiting = broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: LONG, max: 5 }));
    await settledDown();

    await Promise.all([
      broker.enqueue(anEnqueue({ queue: RENDERS, payload: '"r"' })),
      broker.enqueue(anEnqueue({ queue: EMAILS, payload: '"e"' })),
    ]);

    const tasks = await waiting;
    await settledDown();
    expect(tasks.length).toBe(1);
    const left = await Promise.all(
      [EMAILS, RENDERS].map(async (queue) => (await broker.queue(queue)).counts),
    );
    expect(left.reduce((sum, { ready }) => sum + ready, 0)).toBe(1);
    expect(left.reduce((sum, { leased }) => sum + leased, 0)).toBe(1);
  });

  it("is in one storage call at a time, whatever wakes it", async () => {
    const { broker, witness } = await opened();
    const waiting = broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: LONG }));
    await settledDown();
    let underWay = 0;
    let most = 0;
    witness.intervene = async (verb, call) => {
      if (verb !== "claim") return call();
      underWay += 1;
      most = Math.max(most, underWay);
      await settledDown();
      underWay -= 1;
      return call();
    };

    await broker.enqueueMany([EMAILS, RENDERS, EMAILS, RENDERS].map((queue) => anEnqueue({ queue })));

    expect((await waiting).length).toBe(1);
    expect(most).toBe(1);
  });

  it("looks again where it was passed over while it was asked for at another of its queues", async () => {
    const { broker, witness } = await opened();
    const first = broker.claim(aClaim({ queues: [EMAILS], waitMs: LONG }));
    const second = broker.claim(aClaim({ queues: [RENDERS, EMAILS], waitMs: LONG }));
    await settledDown();
    const held = gate();
    witness.intervene = async (verb, call) => {
      const isOfRenders = verb === "claim" && witness.calls.at(-1)?.args[0] === RENDERS;
      if (isOfRenders) await held.opened;
      return call();
    };

    await broker.enqueue(anEnqueue({ queue: RENDERS }));
    await settledDown();
    await broker.enqueueMany([anEnqueue({ payload: "1" }), anEnqueue({ payload: "2" })]);
    expect(payloads(await first)).toEqual(["1"]);
    await broker.purge(RENDERS, "ready");
    held.open();

    expect(payloads(await second)).toEqual(["2"]);
  });

  it("is asked for alone when it asks for as much as one storage call may give", async () => {
    const { broker, witness } = await opened();
    const waiting = Array.from({ length: 8 }, () => broker.claim(aClaim({ max: 1_000, waitMs: LONG })));
    await settledDown();
    witness.calls.length = 0;

    await broker.enqueue(anEnqueue());

    expect((await waiting[0])?.length).toBe(1);
    await settledDown();
    expect(witness.count("claim")).toBe(1);
  });

  it("comes to rest when somebody else took what woke it", async () => {
    const { broker, witness } = await opened();
    const held = gate();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim" && witness.count("claim") === 1) await held.opened;
      return reply;
    };
    void broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: LONG }));
    await settledDown();
    await broker.enqueueMany([anEnqueue(), anEnqueue({ queue: RENDERS })]);
    await Promise.all([broker.purge(EMAILS, "ready"), broker.purge(RENDERS, "ready")]);
    held.open();
    await settledDown();

    const asked = witness.count("claim");
    for (let round = 0; round < 5; round += 1) await settledDown();

    expect(witness.count("claim")).toBe(asked);
    expect(asked).toBeLessThanOrEqual(4);
    expect((await broker.queue(EMAILS)).waiting).toBe(1);
  });

  it("loses nothing when its caller vanishes while it is parked", async () => {
    const { broker } = await opened();
    const caller = new AbortController();
    const vanished = broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: LONG }), caller.signal);
    const patient = broker.claim(aClaim({ waitMs: LONG }));
    await settledDown();

    caller.abort();
    expect(await vanished).toEqual([]);
    await broker.enqueueMany([anEnqueue({ payload: "1" }), anEnqueue({ queue: RENDERS })]);

    expect(payloads(await patient)).toEqual(["1"]);
    expect(await broker.queue(RENDERS)).toMatchObject({ waiting: 0, counts: { ready: 1, leased: 0 } });
  });

  it("loses nothing when its caller vanishes while it is being handed a task; the next one gets it", async () => {
    const { broker, witness } = await opened();
    const caller = new AbortController();
    const vanished = broker.claim(aClaim({ waitMs: LONG }), caller.signal);
    await settledDown();
    const patient = broker.claim(aClaim({ waitMs: LONG }));
    await settledDown();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim") caller.abort();
      return reply;
    };

    await broker.enqueue(anEnqueue({ payload: "1", maxAttempts: 1 }));

    expect(await vanished).toEqual([]);
    const [task] = await patient;
    expect(task).toMatchObject({ payload: "1", attempt: 1 });
  });

  it("is dismissed by a drain at once, all others with it", async () => {
    const { broker } = await opened();
    const waiting = Array.from({ length: 500 }, (_, index) =>
      broker.claim(aClaim({ queues: index % 2 === 0 ? [EMAILS] : [EMAILS, RENDERS], waitMs: LONG })),
    );
    await settledDown();

    broker.drain();

    expect((await Promise.all(waiting)).flat()).toEqual([]);
    await broker.enqueue(anEnqueue());
    expect((await broker.queue(EMAILS)).counts).toMatchObject({ ready: 1, leased: 0 });
  });

  it("is answered, not parked, when a drain begins while it travels", async () => {
    const { broker, witness } = await opened();
    const held = gate();
    witness.intervene = async (_verb, call) => {
      await held.opened;
      return call();
    };

    const waiting = broker.claim(aClaim({ waitMs: LONG }));
    await settledDown();
    broker.drain();
    held.open();

    expect(await waiting).toEqual([]);
  });
});

describe("an engine that shares its store with other processes", () => {
  it("knows that somebody waits before the first claim is made, until the last one has left", async () => {
    const { broker, witness } = await opened();
    const said = () =>
      witness.calls
        .filter(({ verb }) => verb === "setWaiting" || verb === "claim")
        .map(({ verb, args }) => (verb === "claim" ? verb : args));

    const first = broker.claim(aClaim({ waitMs: LONG }));
    const second = broker.claim(aClaim({ queues: [EMAILS, RENDERS], waitMs: LONG }));
    expect(said()).toEqual([
      [EMAILS, true],
      [RENDERS, true],
    ]);
    await settledDown();
    await broker.claim(aClaim());
    await broker.enqueue(anEnqueue());
    await first;
    expect(
      said()
        .slice(2)
        .filter((call) => call !== "claim"),
    ).toEqual([]);
    await broker.enqueue(anEnqueue());
    await second;

    expect(said().slice(-2)).toEqual([
      [EMAILS, false],
      [RENDERS, false],
    ]);
  });

  it("is asked right behind the call that brings a task, when it tells of it that early", async () => {
    const { broker, witness } = await opened();
    witness.isDeaf = true;
    witness.intervene = async (verb, call) => {
      if (verb !== "enqueue") return call();
      witness.tell({ kind: "ready", queue: EMAILS });
      const outcome = await call();
      // The reply of a network comes turns later.
      await settledDown();
      return outcome;
    };
    for (let round = 0; round < 20; round += 1) {
      const waiting = broker.claim(aClaim({ waitMs: LONG }));
      await new Promise((resolve) => setTimeout(resolve, 6));
      witness.calls.length = 0;

      const enqueued = broker.enqueue(anEnqueue({ payload: `${round}` }));
      for (let hop = 0; hop < 20; hop += 1) await Promise.resolve();

      expect(witness.calls.map(({ verb }) => verb).slice(0, 2)).toEqual(["enqueue", "claim"]);
      expect(payloads(await waiting)).toEqual([`${round}`]);
      // The next round's enqueue would otherwise wait for this one's call.
      await enqueued;
    }
  });

  it("is asked again after the claim that was under way when it told of a task", async () => {
    const { broker, witness } = await opened();
    witness.isDeaf = true;
    const waiting = broker.claim(aClaim({ waitMs: LONG }));
    await settledDown();
    const held = gate();
    witness.intervene = async (verb, call) => {
      const reply = await call();
      if (verb === "claim" && witness.count("claim") === 2) await held.opened;
      return reply;
    };
    void broker.claim(aClaim({ worker: "another, in no line" }));
    await settledDown();

    witness.tell({ kind: "ready", queue: EMAILS });
    await broker.enqueue(anEnqueue({ payload: "1" }));
    held.open();

    expect(payloads(await waiting)).toEqual(["1"]);
  });
});

describe("ten thousand parked claims", () => {
  it("cost one question to the storage, are served in order, and are dismissed at once", async () => {
    const { broker, witness } = await opened();
    const served: number[] = [];
    const waiting = Array.from({ length: 10_000 }, (_, index) =>
      broker.claim(aClaim({ waitMs: LONG })).then((tasks) => {
        if (tasks.length > 0) served.push(index);
      }),
    );
    await settledDown();
    expect((await broker.queues()).length).toBe(0);
    expect(witness.count("claim")).toBeLessThanOrEqual(10);

    await broker.enqueueMany(Array.from({ length: 1_500 }, () => anEnqueue()));
    await until(() => served.length === 1_500);
    expect((await broker.queue(EMAILS)).waiting).toBe(8_500);
    broker.drain();
    await Promise.all(waiting);

    expect(served).toEqual(Array.from({ length: 1_500 }, (_, index) => index));
  });

  it("each end at their own time", async () => {
    const { broker } = await opened();

    const waiting = Array.from({ length: 10_000 }, (_, index) =>
      broker.claim(aClaim({ waitMs: 20 + (index % 50) })),
    );

    expect((await Promise.all(waiting)).flat()).toEqual([]);
  });
});

/** Numbers that look random and are the same each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Some turns of the event loop, as many as chance wants. */
async function someTurns(draw: () => number): Promise<void> {
  for (let turns = Math.floor(draw() * 4); turns > 0; turns -= 1) await new Promise((go) => setImmediate(go));
}

/**
 * Workers wait at each of three queues for as long as it takes, while tasks are enqueued, settled and handed back:
 * a lost wake-up leaves the test hanging.
 */
async function workUntilAllIsDone(broker: Broker, draw: () => number): Promise<void> {
  const queues = ["a", "b", "c"] as QueueName[];
  const total = 120;
  const done = new Set<string>();
  const settle = async (task: ClaimedTask): Promise<void> => {
    const fate = draw();
    if (fate < 0.2) await broker.settleOne(released(task));
    else if (fate < 0.4) await broker.settleOne(nacked(task));
    else {
      await broker.settleOne(completed(task));
      done.add(task.id);
    }
  };
  const work = async (own: QueueName): Promise<void> => {
    while (done.size < total) {
      const caller = new AbortController();
      if (draw() < 0.2) setTimeout(() => caller.abort(), draw() * 3);
      const asked = queues.filter((queue) => queue === own || draw() < 0.3);
      const waitMs = draw() < 0.8 ? 300_000 : 0;
      const request = { queues: asked, max: 1 + Math.floor(draw() * 3), waitMs };
      const tasks = await broker.claim(request, caller.signal).catch(unlessUnavailable);
      for (const task of tasks) await settle(task);
    }
  };
  const workers = Array.from({ length: 12 }, (_, index) => work(queues[index % 3] as QueueName));
  for (let index = 0; index < total; index += 1) {
    void broker.enqueue(anEnqueue({ queue: queues[Math.floor(draw() * 3)] as QueueName, maxAttempts: 100 }));
    if (draw() < 0.3) await new Promise((go) => setImmediate(go));
  }
  await until(() => done.size === total);
  broker.drain();
  for (const end of await Promise.allSettled(workers))
    if (end.status === "rejected") expect(end.reason).toBeInstanceOf(ShuttingDownError);
}

function unlessUnavailable(error: unknown): ClaimedTask[] {
  if (error instanceof StorageUnavailableError) return [];
  throw error;
}

const SEEDS = Array.from({ length: 25 }, (_, seed) => seed + 1);

describe("a wake-up", () => {
  it.each(SEEDS)("is never lost (seed %i)", async (seed) => {
    const draw = random(seed);
    const { broker, witness } = await opened({ callsInFlight: 1 + (seed % 3) });
    witness.intervene = async (_verb, call) => {
      // Every call takes its time before it reaches the engine, and before its answer is heard.
      await someTurns(draw);
      const reply = await call();
      await someTurns(draw);
      return reply;
    };

    await workUntilAllIsDone(broker, draw);
  });

  it.each(SEEDS)(
    "is never lost when it comes before the task, in the order of the calls (seed %i)",
    async (seed) => {
      const draw = random(seed);
      const { broker, witness } = await opened({ callsInFlight: 1 + (seed % 3) });
      witness.isDeaf = true;
      let before = Promise.resolve();
      witness.intervene = async (verb, call) => {
        const queue = witness.calls.at(-1)?.args[0] as QueueName;
        if (verb === "enqueue") witness.tell({ kind: "ready", queue });
        const turn = before;
        const arrival = gate();
        before = arrival.opened;
        await someTurns(draw);
        await turn;
        const reply = call();
        arrival.open();
        await reply;
        await someTurns(draw);
        if (verb === "settle") witness.tell({ kind: "ready", queue });
        return reply;
      };

      await workUntilAllIsDone(broker, draw);
    },
  );

  it.each(SEEDS.slice(0, 5))("is never lost when now and then a claim fails (seed %i)", async (seed) => {
    const draw = random(seed);
    const { broker, witness } = await opened({ callsInFlight: 1 + (seed % 3) });
    witness.intervene = async (verb, call) => {
      await someTurns(draw);
      if (verb === "claim" && draw() < 0.03) throw new Error("the disk is on fire");
      return call();
    };

    await workUntilAllIsDone(broker, draw);
  });
});
