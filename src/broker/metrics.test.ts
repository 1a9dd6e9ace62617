import { describe, expect, it } from "vitest";
import {
  aClaim,
  anEnqueue,
  completed,
  EMAILS,
  nacked,
  opened,
  openedAtRest,
  settledDown,
} from "../../test/broker/opened.ts";
import type { QueueName } from "../task/ids.ts";
import type { Broker } from "./broker.ts";

const NAMES = [
  "dibs_claim_duration_seconds",
  "dibs_enqueue_duration_seconds",
  "dibs_settle_duration_seconds",
  "dibs_task_wait_seconds",
  "dibs_task_run_seconds",
  "dibs_schedule_lateness_seconds",
  "dibs_tasks_enqueued_total",
  "dibs_tasks_claimed_total",
  "dibs_tasks_completed_total",
  "dibs_tasks_nacked_total",
  "dibs_tasks_dead_total",
  "dibs_leases_expired_total",
  "dibs_leases_lost_total",
  "dibs_queue_depth",
  "dibs_storage_call_duration_seconds",
  "dibs_merged_calls",
  "dibs_cache_hits_total",
  "dibs_cache_misses_total",
  "dibs_cache_invalidations_total",
  "dibs_cache_enabled",
  "dibs_cache_entries",
  "dibs_cache_reads_per_write",
  "dibs_oldest_ready_age_seconds",
  "dibs_waiting_claims",
  "dibs_storage_errors_total",
  "dibs_storage_connections",
  "dibs_gc_pause_seconds",
  "dibs_event_loop_delay_seconds",
];

/** The values of `/metrics` by name and labels, as they stand on the line. */
async function scraped(broker: Broker): Promise<ReadonlyMap<string, number>> {
  const lines = (await broker.metrics.render())
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]));
}

describe("metrics", () => {
  it("name everything of the contract, with help and type and no other label", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue());
    await broker.claim(aClaim());

    const text = await broker.metrics.render();

    expect(broker.metrics.contentType).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const name of NAMES) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} .+$`, "m"));
      expect(text).toMatch(new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`, "m"));
      expect(text).toMatch(new RegExp(`^${name}(_bucket|_sum|_count)?(\\{|\\s)`, "m"));
    }
    const labels = [...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label as string);
    expect([...new Set(labels)].sort()).toEqual(["le", "outcome", "queue", "state", "verb"]);
  });

  it("count what happened to tasks, by queue", async () => {
    const { broker, clock } = await openedAtRest();
    await broker.enqueueMany(Array.from({ length: 6 }, () => anEnqueue({ maxAttempts: 1 })));
    await broker.enqueue(anEnqueue({ delayMs: 1_000 }));
    clock.advance(250);
    const tasks = await broker.claim(aClaim({ max: 4, leaseMs: 1_000 }));
    clock.advance(500);
    await broker.settle([completed(tasks[0]!), completed(tasks[1]!), nacked(tasks[2]!)]);
    await broker.settle([completed(tasks[0]!)]);
    clock.advance(600);
    await broker.runDue();
    await broker.settle([completed(tasks[3]!)]);

    const values = await scraped(broker);

    const total = (name: string) => values.get(`dibs_${name}{queue="emails"}`);
    expect(total("tasks_enqueued_total")).toBe(7);
    expect(total("tasks_claimed_total")).toBe(4);
    expect(total("tasks_completed_total")).toBe(2);
    expect(total("tasks_nacked_total")).toBe(1);
    expect(total("tasks_dead_total")).toBe(2);
    expect(total("leases_expired_total")).toBe(1);
    expect(total("leases_lost_total")).toBe(1);
    expect(total("task_wait_seconds_count")).toBe(4);
    expect(total("task_wait_seconds_sum")).toBeCloseTo(1);
    expect(total("task_run_seconds_count")).toBe(3);
    expect(total("task_run_seconds_sum")).toBeCloseTo(1.5);
    expect(total("oldest_ready_age_seconds")).toBeCloseTo(1.35);
    expect(values.get("dibs_schedule_lateness_seconds_count")).toBe(1);
    const depth = (state: string) => values.get(`dibs_queue_depth{queue="emails",state="${state}"}`);
    expect(["scheduled", "ready", "leased", "completed", "dead", "cancelled"].map(depth)).toEqual([
      0, 3, 0, 2, 2, 0,
    ]);
  });

  it("tell claims that hit from those that found nothing and those that waited, from 50 µs on", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue());
    await broker.claim(aClaim());
    await broker.claim(aClaim());
    await broker.claim(aClaim({ waitMs: 1 }));
    const waiting = broker.claim(aClaim({ waitMs: 60_000 }));
    void broker.claim(aClaim({ waitMs: 60_000 }));
    await settledDown();
    await broker.enqueue(anEnqueue());
    await waiting;

    const values = await scraped(broker);

    const count = (outcome: string) => values.get(`dibs_claim_duration_seconds_count{outcome="${outcome}"}`);
    expect(["hit", "empty", "waited"].map(count)).toEqual([1, 2, 1]);
    expect(values.has('dibs_claim_duration_seconds_bucket{outcome="hit",le="0.00005"}')).toBe(true);
    expect(values.get("dibs_waiting_claims")).toBe(1);
  });

  it("time each verb of the storage, count its errors, and how many calls travelled together", async () => {
    const { broker, witness } = await opened();
    await Promise.all(Array.from({ length: 20 }, () => broker.enqueue(anEnqueue())));
    witness.intervene = async (verb, call) => {
      if (verb === "enqueue") throw new Error("no");
      return call();
    };
    await broker.enqueue(anEnqueue()).catch(() => {});

    const values = await scraped(broker);

    expect(values.get('dibs_storage_call_duration_seconds_count{verb="enqueue"}')).toBe(2);
    expect(values.get('dibs_storage_errors_total{verb="enqueue"}')).toBe(1);
    expect(values.get('dibs_merged_calls_sum{verb="enqueue"}')).toBe(21);
    expect(values.get('dibs_merged_calls_count{verb="enqueue"}')).toBe(2);
    expect(values.get('dibs_storage_connections{state="ready"}')).toBe(1);
    expect(values.get("dibs_cache_enabled")).toBe(0);
  });

  it("give a hundred queues a label and the rest one together, nothing lost and nothing doubled", async () => {
    const { broker } = await opened();
    const queues = Array.from({ length: 150 }, (_, index) => `queue-${index}` as QueueName);
    for (let made = 0; made < 300; made += 1)
      await broker.claim(aClaim({ queues: [`made-up-${made}` as QueueName] }));
    await broker.enqueueMany(queues.map((queue) => anEnqueue({ queue })));

    const text = await broker.metrics.render();

    const lines = text.split("\n");
    expect(new Set(lines).size).toBe(lines.filter((line) => line !== "").length + 1);
    const totals = lines.filter((line) => line.startsWith("dibs_tasks_enqueued_total{"));
    expect(totals.length).toBe(101);
    expect(totals).toContain('dibs_tasks_enqueued_total{queue="other"} 50');
    expect(lines).toContain('dibs_queue_depth{queue="other",state="ready"} 50');
    expect(text).not.toContain("made-up");
  });

  it("cost one look at each queue, whatever the number of tasks, and none while a look is fresh", async () => {
    const { broker, witness } = await opened();
    const queues = Array.from({ length: 30 }, (_, index) => `queue-${index}` as QueueName);
    await broker.enqueueMany(queues.map((queue) => anEnqueue({ queue })));
    await broker.enqueueMany(Array.from({ length: 5_000 }, () => anEnqueue()));
    witness.calls.length = 0;

    await Promise.all([broker.metrics.render(), broker.metrics.render()]);
    await broker.metrics.render();

    expect(witness.count("snapshot")).toBe(31);
    expect(witness.count("list") + witness.count("get")).toBe(0);
  });

  it("are there also when the store is not", async () => {
    const { broker, storage } = await opened();
    await broker.enqueue(anEnqueue());
    await storage.close();

    const values = await scraped(broker);

    expect(values.get('dibs_tasks_enqueued_total{queue="emails"}')).toBe(1);
    expect([...values.keys()].some((key) => key.startsWith("dibs_queue_depth{"))).toBe(false);
  });

  it("see pauses for garbage collection and a blocked event loop", async () => {
    const { broker } = await opened();
    const isSeen = async (): Promise<boolean> => {
      const values = await scraped(broker);
      const delays = (le: string) => values.get(`dibs_event_loop_delay_seconds_bucket{le="${le}"}`) as number;
      return (values.get("dibs_gc_pause_seconds_count") as number) > 0 && delays("+Inf") > delays("0.025");
    };

    while (!(await isSeen())) {
      // The probe begins anew with each look, and needs one round to find its pace.
      await new Promise((resolve) => setTimeout(resolve, 60));
      const endsAt = performance.now() + 60;
      while (performance.now() < endsAt) Array.from({ length: 1_000 }, (_, index) => ({ index }));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  });
});

describe("latency over the last minute", () => {
  it("is kept for each queue apart", async () => {
    const { broker } = await opened();
    await broker.enqueue(anEnqueue());
    await broker.claim(aClaim());
    await broker.configure("idle" as QueueName, {});

    expect((await broker.queue(EMAILS)).latency.claim.p50).toBeGreaterThan(0);
    expect((await broker.queue("idle" as QueueName)).latency.claim.p50).toBe(0);
  });
});
