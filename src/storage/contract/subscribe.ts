import assert from "node:assert/strict";
import type { StorageEvent } from "../storage.ts";
import { aQueue, aTask, completed, nacked, QUEUE, refused, released, tasks } from "./builders.ts";
import { eventually, type Stage } from "./stage.ts";
import type { Suite } from "./suite.ts";

const MINUTE = 60_000;

export function subscribeContract(suite: Suite): void {
  suite.chapter("to tasks that become ready", readyEvents);
  suite.chapter("to tasks that finish", finishedEvents);

  suite.test("tells every listener, and none that stopped", async (stage) => {
    const [first, second] = [listen(stage), listen(stage)];
    first.stop();
    first.stop();

    await stage.enqueue(aTask());
    await eventually("an event for the second listener", () => second.events.length > 0);

    assert.deepEqual(first.events, []);
  });

  suite.test("names the queue that an event is of", async (stage) => {
    const other = aQueue("letters");
    const { events } = listen(stage);

    await stage.enqueueTo(other, aTask({}, other));

    await eventually("an event", () => events.length > 0);
    assert.deepEqual(events[0], { kind: "ready", queue: other });
  });
}

interface Heard {
  readonly events: StorageEvent[];
  readonly stop: () => void;
}

function listen(stage: Stage): Heard {
  const events: StorageEvent[] = [];
  const stop = stage.storage.subscribe((event) => {
    events.push(event);
  });
  return { events, stop };
}

/** Each way in which a task becomes ready, or a queue's ready tasks claimable: what is there before, and the step. */
const READY_STEPS: readonly (readonly [
  name: string,
  prepare: (stage: Stage) => Promise<unknown>,
  step: (stage: Stage, prepared: never) => Promise<unknown>,
])[] = [
  ["enqueue", async () => {}, (stage) => stage.enqueue(aTask())],
  [
    "promoteDue",
    async (stage) => {
      await stage.enqueue(aTask({ delayMs: MINUTE }));
      await stage.advance(2 * MINUTE);
    },
    (stage) => stage.promoteAll(),
  ],
  ["nack at once", held, (stage, task) => stage.settle(nacked(task, { delayMs: 0 }))],
  ["release", held, (stage, task) => stage.settle(released(task))],
  ["forceRelease", held, (stage, task: { id: never }) => stage.storage.forceRelease(QUEUE, [task.id])],
  [
    "reapExpired",
    async (stage) => {
      await held(stage);
      await stage.advance(2 * MINUTE);
    },
    (stage) => stage.reapAll(),
  ],
  [
    "requeue",
    async (stage) => (await stage.enqueue(aTask({ delayMs: MINUTE })))[0],
    (stage, task: { id: never }) => stage.storage.requeue(QUEUE, [task.id]),
  ],
  [
    "requeueDead",
    async (stage) => stage.settle(refused(await held(stage))),
    (stage) => stage.storage.requeueDead(QUEUE, 10),
  ],
  [
    "resume",
    async (stage) => {
      await stage.enqueue(aTask());
      await stage.storage.configure(QUEUE, { paused: true });
    },
    (stage) => stage.storage.configure(QUEUE, { paused: false }),
  ],
];

async function held(stage: Stage) {
  await stage.enqueue(aTask());
  return stage.claimOne({ leaseMs: MINUTE });
}

function readyEvents(suite: Suite): void {
  for (const [name, prepare, step] of READY_STEPS)
    suite.test(`tells of them after ${name}`, async (stage) => {
      const prepared = await prepare(stage);
      const { events } = listen(stage);

      await step(stage, prepared as never);

      await eventually(`a ready event after ${name}`, () =>
        events.some((event) => event.kind === "ready" && event.queue === QUEUE),
      );
    });

  suite.test("lets a listener claim what it was told of", async (stage) => {
    const grants: number[] = [];
    stage.storage.subscribe((event) => {
      if (event.kind !== "ready") return;
      void stage.storage.claim(event.queue, [{ max: 10 }]).then(({ grants: [grant = []] }) => {
        grants.push(grant.length);
      });
    });

    await stage.enqueue(...tasks(3));

    await eventually("a claim of three tasks", () => grants.reduce((sum, count) => sum + count, 0) === 3);
  });
}

function finishedEvents(suite: Suite): void {
  suite.test("tells of every completed, dead and cancelled task", async (stage) => {
    await stage.enqueue(...tasks(3), aTask({ maxAttempts: 1 }), aTask({ maxAttempts: 1 }));
    const [done, refusedTask, cancelled, failed] = await stage.claim(4);
    const expired = await stage.claimOne({ leaseMs: 1_000 });
    const { events } = listen(stage);

    await stage.settle(completed(done), refused(refusedTask), nacked(failed));
    await stage.storage.cancel(QUEUE, [cancelled.id]);
    await stage.advance(2_000);
    await stage.storage.reapExpired(QUEUE, 10);

    const expected = [
      [done, "completed"],
      [refusedTask, "dead"],
      [failed, "dead"],
      [cancelled, "cancelled"],
      [expired, "dead"],
    ] as const;
    for (const [{ id }, state] of expected)
      await eventually(`a finished event of a ${state} task`, () =>
        events.some((event) => event.kind === "finished" && event.id === id && event.state === state),
      );
  });
}
