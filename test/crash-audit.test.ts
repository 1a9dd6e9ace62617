import { beforeAll, describe, expect, it } from "vitest";
import { ServerProcess } from "./command.ts";
import { audit, type Known } from "./crash/audit.ts";
import { Http } from "./crash/http.ts";
import { type Claim, Ledger, type TaskEntry } from "./crash/ledger.ts";
import { Load } from "./crash/load.ts";
import { Random } from "./crash/random.ts";
import { type Snapshot, takeSnapshot } from "./crash/snapshot.ts";
import { until } from "./crash/until.ts";

/**
 * The audit of the crash tests is itself on trial: a real run that it finds in order is falsified in one place at
 * a time, and it has to say so. Otherwise its silence after a crash would mean nothing.
 */
interface Evidence {
  readonly ledger: Known;
  readonly snapshot: Changeable<Snapshot>;
}
type Changeable<T> = { -readonly [K in keyof T]: T[K] extends object ? Changeable<T[K]> : T[K] };
type Task = Changeable<Snapshot["tasks"][number]>;

let real: Evidence;

beforeAll(async () => {
  const server = await ServerProcess.start("memory:");
  const http = new Http(server.url);
  try {
    const { tasks, unknownEnqueues, unknownClaims } = await afterLoad(http);
    real = {
      ledger: { tasks, unknownEnqueues, unknownClaims },
      snapshot: await takeSnapshot(http),
    } as Evidence;
  } finally {
    http.close();
    await server.stop();
  }
});

async function afterLoad(http: Http): Promise<Ledger> {
  const ledger = new Ledger();
  const load = new Load(http, ledger, new Random(1), { busy: 20, parked: 0 });
  await until(() => ledger.acknowledged >= 1_500);
  await load.stop();
  return ledger;
}

/** The first task, with its entry in the ledger, of which this holds. */
function find(
  { ledger, snapshot }: Evidence,
  holds: (task: Task, entry: TaskEntry, last: Claim | undefined) => boolean,
): { task: Task; entry: TaskEntry; last: Claim } {
  for (const task of snapshot.tasks) {
    const entry = ledger.tasks.get(task.id) as TaskEntry;
    const last = entry.claims.at(-1);
    if (holds(task, entry, last)) return { task, entry, last: last as Claim };
  }
  throw new Error("The run made no such task");
}

const isCompleted = (task: Task) => task.state === "completed";
const runsLong = (task: Task, _: TaskEntry, last?: Claim) =>
  task.state === "leased" &&
  last !== undefined &&
  last.settled === undefined &&
  last.expiresAt > Date.now() + 60_000;

const FAULTS: readonly (readonly [what: string, plant: (evidence: Evidence) => void, found: RegExp])[] = [
  [
    "a task that is gone",
    (evidence) => {
      evidence.snapshot.tasks.splice(evidence.snapshot.tasks.indexOf(find(evidence, isCompleted).task), 1);
    },
    /its enqueue was acknowledged, it does not exist/,
  ],
  [
    "a task in two states",
    (evidence) => evidence.snapshot.tasks.push({ ...find(evidence, isCompleted).task, state: "ready" }),
    /1 tasks are listed in two states/,
  ],
  [
    "a counter that is off by one",
    (evidence) => {
      (evidence.snapshot.queues[0] as { counts: { ready: number } }).counts.ready += 1;
    },
    /counts \d+ ready tasks, \d+ are listed/,
  ],
  [
    "an enqueue that was not counted",
    (evidence) => {
      (evidence.snapshot.queues[0] as { enqueued: number }).enqueued -= 1;
    },
    /its states and the pruned make/,
  ],
  [
    "a second task for one enqueue",
    (evidence) =>
      evidence.snapshot.tasks.push({ ...find(evidence, isCompleted).task, id: "alpha~0000000000000000" }),
    /made a second task/,
  ],
  [
    "an enqueue that came to nothing and appears later",
    (evidence) => evidence.ledger.tasks.delete(find(evidence, isCompleted).task.id),
    /came to nothing before, and is there now/,
  ],
  [
    "another payload",
    (evidence) => {
      const { task } = find(evidence, isCompleted);
      task.payload = { ...(task.payload as object), pad: "?" };
    },
    /its payload is not what was sent/,
  ],
  [
    "a completion that is lost",
    (evidence) => {
      find(evidence, isCompleted).task.state = "ready";
    },
    /an acknowledged complete is lost/,
  ],
  [
    "another result",
    (evidence) => {
      find(evidence, isCompleted).task.result = { fence: 0 };
    },
    /a result that nobody sent/,
  ],
  [
    "a refusal that is lost",
    (evidence) => {
      find(evidence, (task) => task.deadReason === "refused").task.deadReason = "attempts";
    },
    /an acknowledged refuse is lost/,
  ],
  [
    "a nack that is lost",
    (evidence) => {
      find(evidence, (task, { claims }) => hasNack(claims) && task.failures !== undefined).task.failures = [];
    },
    /an acknowledged nack is lost/,
  ],
  [
    "a failure that nobody sent",
    (evidence) => {
      const { task } = find(evidence, isCompleted);
      task.failures = [{ attempt: 1, at: 0, worker: "somebody", error: "lease expired" }];
    },
    /which nobody sent/,
  ],
  [
    "a death before the last attempt",
    (evidence) => {
      const { task } = find(evidence, ({ state }) => state === "dead");
      Object.assign(task, { deadReason: "attempts", attempt: 1, maxAttempts: 2 });
    },
    /dead after 1 of 2 attempts/,
  ],
  [
    "a lease that was given to nobody",
    (evidence) => {
      const { lease } = find(evidence, ({ state }) => state === "leased").task;
      Object.assign(lease as object, { fence: -1, worker: "nobody" });
    },
    /leased to nobody, whose claim was answered without it/,
  ],
  [
    "a lease that goes on after it was ended",
    (evidence) => {
      const { last } = find(evidence, runsLong);
      last.settled = { outcome: "release", sentAt: 0, acknowledged: { state: "ready" } };
    },
    /whose release was acknowledged/,
  ],
  [
    "a lease that is forgotten",
    (evidence) => {
      const { task } = find(evidence, runsLong);
      task.state = "ready";
      delete task.lease;
    },
    /its lease with fence \d+ runs until/,
  ],
  [
    "a delay that is forgotten",
    (evidence) => {
      const { task } = find(
        evidence,
        ({ state, runAt }) => state === "scheduled" && runAt > Date.now() + 60_000,
      );
      task.state = "ready";
    },
    /due at \d+, it is ready/,
  ],
  [
    "a task that two hold at a time",
    (evidence) => {
      const { entry, last } = find(evidence, runsLong);
      entry.claims.push({ ...last, fence: last.fence + 1, answeredAt: last.answeredAt + 1 });
    },
    /held twice/,
  ],
  [
    "a fence that was given twice",
    (evidence) => {
      const { entry, last } = find(evidence, runsLong);
      entry.claims.push({ ...last });
    },
    /was given twice/,
  ],
  [
    "a fence that grows while time goes back",
    (evidence) => {
      const { entry, last } = find(evidence, runsLong);
      entry.claims.push({ ...last, fence: last.fence + 1, claimedAt: last.claimedAt - 1 });
    },
    /grew while time went back/,
  ],
  [
    "a claim of a finished task",
    (evidence) => {
      const { entry, last } = find(evidence, (task, { claims }) => isCompleted(task) && claims.length === 1);
      entry.claims.push({
        ...last,
        fence: last.fence + 1,
        claimedAt: last.expiresAt,
        answeredAt: last.answeredAt + 9,
      });
    },
    /after it was finished/,
  ],
  [
    "an attempt that was not counted",
    (evidence) => {
      find(evidence, (task, { claims }) => isCompleted(task) && claims.length === 1).task.attempt = 0;
    },
    /0 attempts, expected 1/,
  ],
];

function hasNack(claims: readonly Claim[]): boolean {
  return claims.some(({ settled }) => settled?.outcome === "nack" && settled.acknowledged !== undefined);
}

describe("the crash audit", () => {
  it("finds a run in order that was", () => {
    expect(real.ledger.tasks.size).toBeGreaterThan(500);
    expect(audit(real.ledger, real.snapshot)).toEqual([]);
  });

  it.each(FAULTS)("finds %s", (_, plant, found) => {
    const falsified = structuredClone(real);
    plant(falsified);

    expect(audit(falsified.ledger, falsified.snapshot)).toContainEqual(expect.stringMatching(found));
  });
});
