import { describe, expect, it } from "vitest";
import type { TaskMessage } from "../../protocol/messages.ts";
import { audit, type Evidence } from "./audit.ts";

/** Three files; the task of the second was held by the killed worker and redelivered. */
const DIGESTS = ["a", "b", "c"].map((letter) => ({ size: 1, sha256: letter.repeat(64) }));
const KILLED = "demo-1-11";

function task(at: number, worker: string, more: Partial<TaskMessage> = {}): TaskMessage {
  return {
    id: `q~${at}`,
    queue: "q",
    state: "completed",
    priority: 0,
    payload: { path: `/${at}` },
    attempt: 1,
    maxAttempts: 5,
    createdAt: 0,
    runAt: 0,
    result: { ...DIGESTS[at], worker },
    ...more,
  };
}

const EXPIRED = { attempt: 1, at: 0, worker: KILLED, error: "The lease expired" };

function sound(): Evidence {
  const counts = { scheduled: 0, ready: 0, leased: 0, completed: 3, dead: 0, cancelled: 0 };
  return {
    files: new Map(DIGESTS.map((digest, at) => [`/${at}`, [digest]])),
    enqueued: DIGESTS.map((_, at) => ({ path: `/${at}`, id: `q~${at}` })),
    tasks: [task(0, KILLED), task(1, "demo-2-12", { attempt: 2, failures: [EXPIRED] }), task(2, "demo-2-12")],
    queue: { counts, enqueued: 3 },
    reported: [
      { id: "q~0", worker: KILLED },
      { id: "q~1", worker: "demo-2-12" },
      { id: "q~2", worker: "demo-2-12" },
    ],
    counted: { claimed: 4, completed: 3, expired: 1 },
    killed: KILLED,
    outages: [],
  };
}

type Falsified = readonly [what: string, change: (evidence: Evidence) => Partial<Evidence>, fault: RegExp];

const FAULTS: readonly Falsified[] = [
  ["a task that is missing", ({ tasks }) => ({ tasks: tasks.slice(1) }), /\/0 has 0 tasks/],
  [
    "a file with two tasks",
    ({ tasks }) => ({ tasks: [...tasks, task(0, KILLED, { id: "q~9" })] }),
    /\/0 has 2 tasks/,
  ],
  [
    "a task that nobody enqueued",
    ({ enqueued }) => ({ enqueued: enqueued.slice(1) }),
    /q~0 of \/0 was never enqueued/,
  ],
  [
    "a task that is not completed",
    ({ tasks }) => ({ tasks: [task(0, KILLED, { state: "dead" }), ...tasks.slice(1)] }),
    /is dead/,
  ],
  [
    "a wrong checksum",
    ({ files }) => ({ files: new Map([...files, ["/0", [{ size: 1, sha256: "0".repeat(64) }]]]) }),
    /\/0: the worker found/,
  ],
  [
    "a wrong size",
    ({ files }) => ({
      files: new Map([...files, ["/0", [{ ...DIGESTS[0], size: 2 } as { size: number; sha256: string }]]]),
    }),
    /\/0: the worker found/,
  ],
  [
    "a completion that two reported",
    ({ reported }) => ({ reported: [...reported, { id: "q~0", worker: "demo-2-12" }] }),
    /q~0 was completed again/,
  ],
  [
    "a completion that nobody alive reported",
    ({ reported }) => ({ reported: reported.filter(({ id }) => id !== "q~2") }),
    /its completion was reported by nobody/,
  ],
  [
    "a report by another than who did it",
    ({ reported }) => ({ reported: [{ id: "q~0", worker: "demo-3-13" }, ...reported.slice(1)] }),
    /reported by demo-3-13/,
  ],
  [
    "a report of an unknown task",
    ({ reported }) => ({ reported: [...reported, { id: "q~x", worker: "w" }] }),
    /no task of the queue/,
  ],
  [
    "a completion too many",
    ({ counted }) => ({ counted: { ...counted, completed: 4 } }),
    /counted 4 completions/,
  ],
  [
    "a claim too many",
    ({ counted }) => ({ counted: { ...counted, claimed: 5 } }),
    /counted 5 claims, expected 4/,
  ],
  [
    "an attempt too many",
    ({ tasks }) => ({ tasks: [task(0, KILLED, { attempt: 2 }), ...tasks.slice(1)] }),
    /count 5 attempts, expected 4/,
  ],
  [
    "a lease that expired unseen",
    ({ counted }) => ({ counted: { ...counted, expired: 2 } }),
    /counted 2 expired leases/,
  ],
  [
    "a redelivery from a worker that lives",
    () => ({ killed: "demo-3-13" }),
    /Attempt 1 of q~1 by demo-1-11 failed/,
  ],
  [
    "a redelivery for another reason",
    ({ tasks }) => ({
      tasks: tasks.with(1, task(1, "demo-2-12", { attempt: 2, failures: [{ ...EXPIRED, error: "EIO" }] })),
    }),
    /failed: EIO/,
  ],
  [
    "an enqueue too many",
    ({ queue }) => ({ queue: { ...queue, enqueued: 4 } }),
    /counts 4 enqueues of 3 files/,
  ],
];

describe("the demo's audit", () => {
  it("passes a run in which everything agrees", () => {
    const result = audit(sound());

    expect(result).toMatchObject({
      verdict: "passed",
      files: 3,
      completed: 3,
      claims: 4,
      faults: [],
      unjudged: [],
    });
    expect(result.redeliveries).toEqual([
      { id: "q~1", path: "/1", attempt: 1, at: 0, worker: KILLED, error: EXPIRED.error },
    ]);
    expect(result.checks.every(({ ok }) => ok)).toBe(true);
  });

  it.each(FAULTS)("fails %s", (_, change, fault) => {
    const evidence = sound();
    const result = audit({ ...evidence, ...change(evidence) });

    expect(result.verdict).toBe("failed");
    expect(result.faults).toContainEqual(expect.stringMatching(fault));
    expect(result.checks.some(({ ok }) => !ok)).toBe(true);
  });

  /** The store was away when the lease of the second task ended, and not when the others were worked on. */
  const outages = [{ from: 100_000, to: 101_000 }];
  const during = { ...EXPIRED, at: 102_000, worker: "demo-3-13" };

  it("takes what a store that was away did and could not answer", () => {
    const { tasks, counted, reported, ...rest } = sound();
    const evidence = {
      ...rest,
      outages,
      tasks: [
        tasks[0] as TaskMessage,
        task(1, "demo-2-12", { attempt: 3, failures: [EXPIRED, during] }),
        task(2, "demo-2-12", { finishedAt: 100_500 }),
      ],
      reported: reported.slice(0, 2),
      counted: { ...counted, claimed: 4, completed: 2 },
    };

    expect(audit(evidence)).toMatchObject({ verdict: "passed", faults: [], outages: 1 });
    expect(audit({ ...evidence, outages: [] }).faults).toHaveLength(5);
  });

  it.each<Falsified>([
    [
      "a lease that expired long after it was away",
      ({ tasks }) => ({
        tasks: tasks.with(1, task(1, "demo-2-12", { attempt: 2, failures: [{ ...during, at: 200_000 }] })),
      }),
      /Attempt 1 of q~1 by demo-3-13 failed/,
    ],
    ["a task that it lost", ({ tasks }) => ({ tasks: tasks.slice(1) }), /\/0 has 0 tasks/],
    [
      "a completion too many",
      ({ counted }) => ({ counted: { ...counted, completed: 4 } }),
      /counted 4 completions/,
    ],
    [
      "a completion that nobody heard of, at another time",
      ({ reported }) => ({ reported: reported.slice(0, 2) }),
      /q~2 has the result of demo-2-12, its completion was reported by nobody/,
    ],
  ])("fails, although the store was away, %s", (_, change, fault) => {
    const evidence = { ...sound(), outages };
    const result = audit({ ...evidence, ...change(evidence) });

    expect(result.verdict).toBe("failed");
    expect(result.faults).toContainEqual(expect.stringMatching(fault));
  });

  it("takes a completion of the killed worker that it could not report any more", () => {
    const { reported, ...rest } = sound();
    expect(audit({ ...rest, reported: reported.slice(1) }).verdict).toBe("passed");
  });

  it("takes either digest of a file that changed once, and does not judge one that changed again", () => {
    const { files, ...rest } = sound();
    const other = { size: 9, sha256: "9".repeat(64) };

    const once = new Map([...files, ["/0", [other, DIGESTS[0] as typeof other]]]);
    expect(audit({ ...rest, files: once }).verdict).toBe("passed");
    const twice = new Map([...files, ["/0", [other, other]]]);
    expect(audit({ ...rest, files: twice })).toMatchObject({
      verdict: "not judged",
      unjudged: ["/0"],
      faults: [],
    });
  });

  it("takes the same word for a file that nobody can read", () => {
    const { files, tasks, ...rest } = sound();
    const unreadable = { error: "EACCES" };
    const evidence = {
      ...rest,
      files: new Map([...files, ["/0", [unreadable]]]),
      tasks: tasks.with(0, task(0, KILLED, { result: { ...unreadable, worker: KILLED } })),
    };

    expect(audit(evidence).verdict).toBe("passed");
    expect(audit({ ...evidence, files }).verdict).toBe("failed");
  });

  it("does not judge a run whose killed worker held nothing", () => {
    const { tasks, counted, ...rest } = sound();
    const evidence = {
      ...rest,
      tasks: tasks.with(1, task(1, "demo-2-12")),
      counted: { ...counted, claimed: 3, expired: 0 },
    };

    expect(audit(evidence)).toMatchObject({ verdict: "not judged", faults: [] });
  });
});
