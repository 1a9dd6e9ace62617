import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openConnection } from "../../../src/connect.ts";
import { lookAt } from "../../crash/snapshot.ts";
import { checkHistory } from "./check.ts";
import { HandMade, LEASE_LOST, LEASE_MS, UNAVAILABLE } from "./hand-made.ts";
import { RecordedConnection } from "./recorded-connection.ts";
import { Recorder, readHistory } from "./recorder.ts";
import type { Loss } from "./story.ts";

/** The checker is itself on trial: its silence after a fault means something only when it speaks up at these. */
const BAD: readonly (readonly [
  what: string,
  make: (history: HandMade) => HandMade,
  found: RegExp,
  at?: number,
])[] = [
  [
    "a task that two hold at a time",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 500, { number: 1, fence: 2, attempt: 2 }),
    /held twice/,
    600,
  ],
  [
    "a claim a few milliseconds before the end of a lease, which only the store's clock can tell",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 1_005, { number: 1, fence: 2, attempt: 2 }),
    /held twice: claimed at 1001006, fence 1 ran until 1001011/,
    1_100,
  ],
  [
    "a heartbeat that was acknowledged and did nothing",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .beat("a", 900, 1, 1)
        .claim("b", 1_500, { number: 1, fence: 2, attempt: 2 }),
    /held twice/,
    1_600,
  ],
  [
    "a claim while a refused ending had ended nothing",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .tryEnd("a", 400, "complete", 1, 1, LEASE_LOST)
        .claim("b", 500, { number: 1, fence: 2, attempt: 2 }),
    /held twice/,
    600,
  ],
  [
    "a fence that was given twice",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 2_000, { number: 1, fence: 1, attempt: 2, token: "other" }),
    /fence 1 was given twice/,
  ],
  [
    "a token that was given twice",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1, token: "t" })
        .claim("b", 2_000, { number: 1, fence: 2, attempt: 2, token: "t" }),
    /the token of fence 1 was given twice/,
  ],
  [
    "a fence that went back",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 9 })
        .claim("b", 2_000, { number: 1, fence: 2, attempt: 2 }),
    /fence 2 came after 9/,
  ],
  [
    "a live token that is refused",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .tryEnd("a", 300, "complete", 1, 1, LEASE_LOST),
    /fence 1 was refused \(lease_lost\) while its lease had 710.0 ms to run/,
  ],
  [
    "a live token that is refused a heartbeat",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .beat("a", 300, 1, 1, LEASE_LOST),
    /fence 1 was refused/,
  ],
  [
    "an ending that is accepted after its lease",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 1_200, "complete", 1, 1),
    /complete of fence 1 was accepted 168.0 ms after its lease/,
  ],
  [
    "an old token that still moves the task",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 1_020, { number: 1, fence: 2, attempt: 2 })
        .end("a", 1_025, "complete", 1, 1),
    /fence 1 was still accepted after a later one was given/,
  ],
  [
    "an ending with a token that nobody was given",
    (history) => history.enqueue(0, { number: 1 }).end("a", 20, "complete", 1, 7),
    /with a token that nobody was given/,
  ],
  [
    "a completed task that is claimed again",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "complete", 1, 1)
        .claim("b", 2_000, { number: 1, fence: 2, attempt: 2 }),
    /claimed by b after it was completed/,
  ],
  [
    "a refused task that is claimed again",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "refuse", 1, 1)
        .claim("b", 2_000, { number: 1, fence: 2, attempt: 2 }),
    /claimed by b after it was dead/,
  ],
  [
    "a cancelled task that is claimed",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .move(10, "cancel", 1, "cancelled")
        .claim("a", 20, { number: 1, fence: 1 }),
    /claimed by a after it was cancelled/,
  ],
  [
    "a delayed task that is claimed early",
    (history) => history.enqueue(0, { number: 1, delayMs: 300 }).claim("a", 200, { number: 1, fence: 1 }),
    /claimed at 1000201 with fence 1, due at 1000301/,
  ],
  [
    "a delayed task whose claim tells another time, and is early by the callers' clock",
    (history) =>
      history
        .enqueue(0, { number: 1, delayMs: 300 })
        .claim("a", 200, { number: 1, fence: 1, claimedAt: 1_000_400, expiresAt: 1_001_400 }),
    /claimed at 1000400 with fence 1, due at 1000301/,
  ],
  [
    "a retry before its wait is over",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "nack", 1, 1, 5_000)
        .claim("b", 3_000, { number: 1, fence: 2, attempt: 2 }),
    /with fence 2, due at 1005021/,
  ],
  [
    "an attempt beyond the maximum",
    (history) =>
      history
        .enqueue(0, { number: 1, maxAttempts: 1 })
        .claim("a", 10, { number: 1, fence: 1, attempt: 2, maxAttempts: 1 }),
    /attempt 2 of 1/,
  ],
  [
    "an attempt that was not counted",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 2_000, { number: 1, fence: 2 }),
    /attempt 1 with fence 2, expected 2/,
  ],
  [
    "an attempt that was counted twice",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 2_000, { number: 1, fence: 2, attempt: 3 }),
    /attempt 3 with fence 2, expected 2/,
  ],
  [
    "a release that counts",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "release", 1, 1)
        .claim("b", 30, { number: 1, fence: 2, attempt: 2 }),
    /attempt 2 with fence 2, expected 1/,
  ],
  [
    "an attempt that the end forgot",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "complete", 1, 1)
        .shows(1, { attempt: 0 }),
    /0 attempts are counted, expected 1/,
  ],
  [
    "a later enqueue that is claimed first",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .enqueue(10, { number: 2 })
        .claim("a", 20, { number: 2, fence: 1 })
        .claim("a", 30, { number: 1, fence: 2 }),
    /claimed before emails~0000000000000001, which was enqueued before it/,
  ],
  [
    "the second of one enqueue that is claimed first",
    (history) =>
      history
        .enqueue(0, { number: 1 }, { number: 2 })
        .claim("a", 20, { number: 2, fence: 1 })
        .claim("a", 30, { number: 1, fence: 2 }),
    /0002: claimed before emails~0000000000000001/,
  ],
  [
    "an answer that has its tasks in the wrong order",
    (history) =>
      history
        .enqueue(0, { number: 1 }, { number: 2 })
        .claim("a", 20, { number: 2, fence: 1 }, { number: 1, fence: 2 }),
    /0001: stands behind emails~0000000000000002/,
  ],
  [
    "an answer that has the less urgent first",
    (history) =>
      history
        .enqueue(0, { number: 1 }, { number: 2, priority: 5 })
        .claim("a", 20, { number: 1, fence: 1 }, { number: 2, fence: 2, priority: 5 }),
    /0002: stands behind emails~0000000000000001/,
  ],
  [
    "a claim of the less urgent while an urgent one is ready",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .enqueue(10, { number: 2, priority: 9 })
        .claim("a", 20, { number: 1, fence: 1 })
        .claim("a", 30, { number: 2, fence: 2, priority: 9 }),
    /0001: claimed while emails~0000000000000002, more urgent, was ready/,
  ],
  [
    "more tasks than were asked for",
    (history) => {
      history
        .enqueue(0, { number: 1 }, { number: 2 })
        .claim("a", 20, { number: 1, fence: 1 }, { number: 2, fence: 2 });
      const { asked } = history.calls.at(-1) as { asked: { claim: { max: number } } };
      asked.claim.max = 1;
      return history;
    },
    /a asked for 1 tasks and got 2/,
  ],
  [
    "a task of a queue that was not asked for",
    (history) =>
      history
        .enqueue(0, { number: 1, queue: "other" })
        .claim("a", 20, { number: 1, fence: 1, queue: "other" }),
    /claimed from emails, it is of other/,
  ],
  [
    "another task's payload",
    (history) =>
      history
        .enqueue(0, { number: 1 }, { number: 2 })
        .claim("a", 20, { number: 2, fence: 1, id: "emails~0000000000000001" }),
    /number 1 was sent, claimed it has 2/,
  ],
  [
    "another number of attempts than was asked for",
    (history) => history.enqueue(0, { number: 1 }).claim("a", 20, { number: 1, fence: 1, maxAttempts: 5 }),
    /maxAttempts 3 was sent, claimed it has 5/,
  ],
  [
    "a claimed task that nobody enqueued",
    (history) => history.claim("a", 20, { number: 1, fence: 1 }),
    /claimed, and never enqueued/,
  ],
  [
    "an acknowledged task that is gone",
    (history) => history.enqueue(0, { number: 1 }).shows(1, undefined),
    /its enqueue was acknowledged, it is gone/,
  ],
  [
    "a task that nobody enqueued",
    (history) => history.shows(1, { state: "ready" }),
    /nobody can have enqueued it/,
  ],
  [
    "an enqueue that says that nothing happened, and something did",
    (history) =>
      history.tryEnqueue(0, { number: 1 }, { ...UNAVAILABLE, applied: "no" }).shows(1, { state: "ready" }),
    /nobody can have enqueued it/,
  ],
  [
    "an enqueue that made two tasks",
    (history) => history.enqueue(0, { number: 1 }).shows(2, { payload: { number: 1 } }),
    /enqueue 1 also made/,
  ],
  [
    "one id for two enqueues",
    (history) => {
      history.enqueue(0, { number: 1 });
      const items = [{ number: 2, queue: "emails", priority: 0, maxAttempts: 3 }];
      const enqueued = [{ id: "emails~0000000000000001", runAt: 0 }];
      return history.call("producer", 10, { verb: "enqueue", items }, { enqueued });
    },
    /the id was given to 1 and 2/,
  ],
  [
    "an acknowledged completion that is lost",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "complete", 1, 1)
        .shows(1, { state: "ready" }),
    /an acknowledged complete, to completed, is lost/,
  ],
  [
    "an acknowledged cancel that is lost",
    (history) =>
      history.enqueue(0, { number: 1 }).move(10, "cancel", 1, "cancelled").shows(1, { state: "ready" }),
    /an acknowledged cancel is lost/,
  ],
  [
    "a completion that nobody sent",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .shows(1, { state: "completed" }),
    /nobody completed it/,
  ],
  [
    "a cancel that nobody sent",
    (history) => history.enqueue(0, { number: 1 }).shows(1, { state: "cancelled" }),
    /nobody cancelled it/,
  ],
  [
    "a death before the last attempt",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .shows(1, { state: "dead", deadReason: "attempts" }),
    /dead after 1 of 3 attempts/,
  ],
  [
    "a lease that nobody was given",
    (history) =>
      history.enqueue(0, { number: 1 }).shows(1, { state: "leased", fence: 5, expiresAt: 2_000_000 }),
    /leased with fence 5, which nobody was given/,
  ],
  [
    "a lease that goes on after its end",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "nack", 1, 1)
        .shows(1, { state: "leased", fence: 1, expiresAt: 1_100_000 }),
    /whose nack was acknowledged/,
  ],
  [
    "a lease that is forgotten",
    (history) =>
      history.enqueue(0, { number: 1 }).claim("a", 10, { number: 1, fence: 1 }).shows(1, { state: "ready" }),
    /its lease with fence 1 runs until/,
    100,
  ],
  [
    "a lease that nobody takes back",
    (history) => history.enqueue(0, { number: 1 }).claim("a", 10, { number: 1, fence: 1 }),
    /its time was over 98989 ms ago/,
  ],
  [
    "a counter that is off by one",
    (history) => history.enqueue(0, { number: 1 }).miscounts(1),
    /emails counts 2 ready tasks, 1 are listed/,
  ],
];

const GOOD: readonly (readonly [
  what: string,
  make: (history: HandMade) => HandMade,
  losses?: readonly Loss[],
])[] = [
  [
    "a life from claim to completion, twice reported",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .beat("a", 700, 1, 1)
        .end("a", 1_500, "complete", 1, 1)
        .end("a", 9_000, "complete", 1, 1),
  ],
  [
    "a claim right after the end of a lease, and the old holder refused",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .claim("b", 1_011, { number: 1, fence: 2, attempt: 2 })
        .tryEnd("a", 1_012, "complete", 1, 1, LEASE_LOST)
        .end("b", 1_020, "complete", 1, 2),
  ],
  [
    "an ending that was not answered, and happened",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .tryEnd("a", 20, "complete", 1, 1)
        .shows(1, { state: "completed" }),
  ],
  [
    "an ending that was not answered, and did not happen",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .tryEnd("a", 20, "complete", 1, 1, UNAVAILABLE)
        .claim("b", 1_020, { number: 1, fence: 2, attempt: 2 })
        .end("b", 1_030, "complete", 1, 2),
  ],
  [
    "an enqueue that says that nothing happened, and nothing did",
    (history) => history.tryEnqueue(0, { number: 1 }, { ...UNAVAILABLE, applied: "no" }),
  ],
  [
    "an enqueue that is sent again with its key, and happened the first time",
    (history) =>
      history
        .tryEnqueue(0, { number: 1, delayMs: 100, idempotencyKey: "k" }, UNAVAILABLE)
        .enqueue(50, { number: 2 })
        .enqueue(90, { number: 1, delayMs: 100, idempotencyKey: "k" })
        .claim("a", 101, { number: 1, fence: 1 })
        .claim("a", 110, { number: 2, fence: 2 })
        .end("a", 120, "complete", 1, 1)
        .end("a", 130, "complete", 2, 2),
  ],
  [
    "enqueues that were not answered, one of which happened",
    (history) =>
      history.tryEnqueue(0, { number: 1 }).tryEnqueue(5, { number: 2 }).shows(2, { state: "ready" }),
  ],
  [
    "a claim that nobody heard, which counts an attempt",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .tryClaim("a", 10)
        .claim("b", 1_500, { number: 1, fence: 7, attempt: 2 })
        .end("b", 1_600, "complete", 1, 7),
  ],
  [
    "a release that goes to the next at once",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "release", 1, 1)
        .claim("b", 21, { number: 1, fence: 2 })
        .end("b", 30, "complete", 1, 2),
  ],
  [
    "a wait and a retry",
    (history) =>
      history
        .enqueue(0, { number: 1, delayMs: 100 })
        .claim("a", 101, { number: 1, fence: 1, runAt: 1_000_101 })
        .end("a", 110, "nack", 1, 1, 500)
        .claim("b", 611, { number: 1, fence: 2, attempt: 2, runAt: 1_000_611 })
        .end("b", 620, "refuse", 1, 2),
  ],
  [
    "concurrent enqueues in either order",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .enqueue(1, { number: 2 })
        .claim("a", 20, { number: 2, fence: 1 })
        .claim("a", 30, { number: 1, fence: 2 })
        .end("a", 40, "complete", 1, 2)
        .end("a", 41, "complete", 2, 1),
  ],
  [
    "a cancelled task that comes back",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .move(10, "cancel", 1, "cancelled")
        .move(20, "requeue", 1, "ready")
        .claim("a", 30, { number: 1, fence: 1 })
        .end("a", 40, "complete", 1, 1),
  ],
  [
    "what was acknowledged and lost within the promise",
    (history) =>
      history
        .enqueue(0, { number: 1 })
        .claim("a", 10, { number: 1, fence: 1 })
        .end("a", 20, "complete", 1, 1)
        .enqueue(30, { number: 2 })
        .shows(2, undefined)
        .claim("b", 500, { number: 1, fence: 2 })
        .end("b", 600, "complete", 1, 2),
    [{ from: 5, to: 100 }],
  ],
];

describe("the checker of histories", () => {
  for (const [what, make, found, at] of BAD)
    it(`finds ${what}`, () => {
      const history = make(new HandMade());

      const { faults } = checkHistory(history.calls, history.snapshot(at));
      expect(faults).toContainEqual(expect.stringMatching(found));
    });

  for (const [what, make, losses] of GOOD)
    it(`accepts ${what}`, () => {
      const history = make(new HandMade());

      expect(checkHistory(history.calls, history.snapshot(), losses).faults).toEqual([]);
    });

  it("counts what was lost within the promise, and takes it for a fault without one", () => {
    const [, make, losses] = GOOD.at(-1) as (typeof GOOD)[number];
    const history = make(new HandMade());
    const snapshot = history.snapshot();

    expect(checkHistory(history.calls, snapshot, losses).lost).toEqual({ enqueues: 1, endings: 0 });
    const { faults } = checkHistory(history.calls, snapshot);
    expect(faults).toContainEqual(expect.stringMatching(/it is gone/));
    expect(faults).toContainEqual(expect.stringMatching(/after it was completed/));
  });

  it("tells how late a task was claimed again whose holder let it lie", () => {
    const history = new HandMade()
      .enqueue(0, { number: 1 })
      .claim("a", 10, { number: 1, fence: 1 })
      .claim("b", 1_051, { number: 1, fence: 2, attempt: 2, runAt: 1_001_030 })
      .end("b", 1_060, "complete", 1, 2);

    expect(checkHistory(history.calls, history.snapshot()).redeliveries).toEqual([
      { queue: "emails", readyMs: 19, claimedMs: 41 },
    ]);
  });
});

describe("a recorded history", () => {
  it("has what two participants did on a real store, and is in order", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dibs-history-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "calls");
    const recorder = new Recorder(path);
    const connection = await openConnection("memory:");
    onTestFinished(() => connection.close());
    const producer = new RecordedConnection(connection, recorder, "producer");
    const worker = new RecordedConnection(connection, recorder, "worker");
    const claim = { queues: ["emails"], max: 3, leaseMs: LEASE_MS, waitMs: 0 };

    const sent = [1, 2, 3, 4].map((number) => ({
      number,
      queue: "emails",
      priority: number % 2,
      maxAttempts: 3,
    }));
    await producer.enqueue(sent);
    const [first, second, third] = await worker.claim(claim);
    await worker.heartbeat([{ id: first?.id ?? "", token: first?.token ?? "", leaseMs: LEASE_MS }]);
    const endings = [
      { id: first?.id ?? "", token: first?.token ?? "", outcome: "complete" },
      { id: second?.id ?? "", token: second?.token ?? "", outcome: "nack", delayMs: 5 },
      { id: third?.id ?? "", token: third?.token ?? "", outcome: "release" },
      { id: third?.id ?? "", token: third?.token ?? "", outcome: "refuse" },
    ] as const;
    const next = await worker.settle(endings, claim);
    await producer.move("cancel", next[0]?.id ?? "");
    await producer.move("cancel", "emails~0000000000000000").catch(() => {});
    recorder.close();

    const calls = readHistory([path]);
    const { faults, counted } = checkHistory(calls, await lookAt(connection));
    expect(faults).toEqual([]);
    expect(counted).toMatchObject({ enqueued: 4, holds: 5, ended: 3 });
    expect(calls.map(({ asked }) => asked.verb)).toEqual([
      "enqueue",
      "claim",
      "heartbeat",
      "settle",
      "cancel",
      "cancel",
    ]);
  });
});
