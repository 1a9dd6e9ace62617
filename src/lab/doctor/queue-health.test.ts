import { describe, expect, it } from "vitest";
import { parseQueueName, type QueueName } from "../../task/ids.ts";
import { DEFAULT_QUEUE_CONFIG } from "../../task/queue.ts";
import type { Finding } from "./finding.ts";
import { type QueueFacts, queueFindings } from "./queue-health.ts";

const NOW = 1_800_000_000_000;
const NONE = { scheduled: 0, ready: 0, leased: 0, completed: 0, dead: 0, cancelled: 0 };

function aQueue(facts: Partial<QueueFacts> = {}): QueueFacts {
  const queue = parseQueueName("emails") as QueueName;
  return { queue, paused: false, counts: NONE, enqueued: 0, pruned: 0, leases: [], ...facts };
}

function lineOf(check: string, facts: Partial<QueueFacts>, isServed = true): Finding {
  const all = queueFindings("here", { now: NOW, queues: [aQueue(facts)], total: 1, isServed });
  return all.find((finding) => finding.check === check) as Finding;
}

const lease = (leftMs: number, ms = 30_000) => ({ expiresAt: NOW + leftMs, ms });
const leased = { counts: { ...NONE, leased: 1 }, enqueued: 1 };

describe("the leases of queues", () => {
  it.each([
    [20_000, "green"],
    [4_999, "yellow"],
    [-2_900, "green"],
    [-3_100, "yellow"],
    [-15_100, "red"],
  ])("with %d ms left of 30 s are %s", (leftMs, colour) => {
    expect(lineOf("leases", { ...leased, leases: [lease(leftMs)] }).colour).toBe(colour);
  });

  it("that ended wait for nobody where nobody serves", () => {
    expect(lineOf("leases", { ...leased, leases: [lease(-60_000)] }, false).colour).toBe("green");
  });

  it("tell missing heartbeats from missing servers", () => {
    expect(lineOf("leases", { ...leased, leases: [lease(1_000)] }).advice).toMatch(/worker does not move/);
    expect(lineOf("leases", { ...leased, leases: [lease(-9_000)] }).advice).toMatch(/is any server/);
  });
});

describe("the oldest ready task", () => {
  it.each([
    [59_000, "green"],
    [61_000, "yellow"],
    [601_000, "red"],
  ])("is, after %d ms, %s", (ageMs, colour) => {
    expect(lineOf("oldest ready", { oldestReadyAt: NOW - ageMs })).toMatchObject({ colour });
  });

  it("of a folder that nobody has open is at most yellow", () => {
    const line = lineOf("oldest ready", { oldestReadyAt: NOW - 9e6 }, false);
    expect(line).toMatchObject({ colour: "yellow", bound: "up to 60 s" });
    expect(line.advice).toMatch(/Nobody has the folder open/);
  });

  it("of a paused queue waits as it was told to", () => {
    const paused = { oldestReadyAt: NOW - 9e6, paused: true };
    expect(lineOf("oldest ready", paused).colour).toBe("green");
    expect(lineOf("queues", paused)).toMatchObject({ colour: "yellow", figure: "1; paused: emails" });
  });
});

describe("dead letters", () => {
  it("are yellow, and red where the oldest will be removed", () => {
    const config = {
      ...DEFAULT_QUEUE_CONFIG,
      retention: { ...DEFAULT_QUEUE_CONFIG.retention, deadMax: 100 },
    };
    const dead = (count: number) => ({ counts: { ...NONE, dead: count }, enqueued: count, config });
    expect(lineOf("dead letters", dead(0)).colour).toBe("green");
    expect(lineOf("dead letters", dead(89))).toMatchObject({ colour: "yellow", value: 89 });
    expect(lineOf("dead letters", dead(90)).colour).toBe("red");
  });
});

describe("the depth of a queue", () => {
  it("is yellow near its bound, and red at it", () => {
    const at = (ready: number) => ({
      counts: { ...NONE, ready },
      enqueued: ready,
      config: { ...DEFAULT_QUEUE_CONFIG, maxDepth: 10 },
    });
    expect(lineOf("queues", at(8)).colour).toBe("green");
    expect(lineOf("queues", at(9)).colour).toBe("yellow");
    expect(lineOf("queues", at(10)).colour).toBe("red");
  });
});

describe("the counts", () => {
  it("are red when what was enqueued is not the sum of what is there and what was removed", () => {
    const sound = { counts: { ...NONE, ready: 2 }, enqueued: 5, pruned: 3 };
    expect(lineOf("counts", sound).colour).toBe("green");
    expect(lineOf("counts", { ...sound, pruned: 2 })).toMatchObject({
      colour: "red",
      figure: "emails has taken 5, and states and removed sum to 4",
    });
  });

  it("are red when there are more or fewer records than tasks in a state", () => {
    const facts = { counts: { ...NONE, ready: 2 }, enqueued: 2 };
    expect(lineOf("counts", { ...facts, records: 2 }).figure).toBe("2 tasks, as counted one by one");
    expect(lineOf("counts", { ...facts, records: 3 })).toMatchObject({
      colour: "red",
      figure: "emails has 2 in its states, and 3 records",
    });
  });
});
