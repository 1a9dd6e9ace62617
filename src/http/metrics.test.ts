import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, RawConnection, Serving } from "../../test/http/serving.ts";

/** Every metric that the contract names, with its labels, after each thing that moves one has happened. */
let serving: Serving;
let text: string;

beforeAll(async () => {
  serving = await Serving.start();
  await serving.claim({ queues: ["empty"] });
  const done = await serving.claimed({ queue: "m" });
  await serving.post(`/v1/tasks/${done.id}/complete`, { leaseToken: done.lease.token });
  const failed = await serving.claimed({ queue: "m" });
  await serving.post(`/v1/tasks/${failed.id}/nack`, { leaseToken: failed.lease.token, delayMs: 0 });
  const [refused] = await serving.claim({ queues: ["m"] });
  await serving.post(`/v1/tasks/${refused.id}/nack`, { leaseToken: refused.lease.token, retry: false });
  const expiring = await serving.claimed({ queue: "m" });
  await serving.advance(30_001);
  await serving.post(`/v1/tasks/${expiring.id}/heartbeat`, { leaseToken: expiring.lease.token });
  await serving.enqueue({ queue: "m", delayMs: 5 });
  await serving.advance(10);
  const waiting = await serving.connect();
  waiting.write(RawConnection.request("POST", "/v1/claims", '{"queues":["other"],"waitMs":60000}'));
  await parked();
  await serving.enqueue({ queue: "other" });
  await waiting.answers(1);
  waiting.write(RawConnection.request("POST", "/v1/claims", '{"queues":["other"],"waitMs":60000}'));
  text = await parked();
});
afterAll(() => serving[Symbol.asyncDispose]());

/** The metrics, as soon as one claim waits. */
async function parked(): Promise<string> {
  const reply = await eventually(
    () => serving.get("/metrics"),
    (metrics) => metrics.text.includes("\ndibs_waiting_claims 1\n"),
  );
  return reply.text;
}

/** Samples of a metric, by their labels. */
function samples(name: string): Record<string, number> {
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return Object.fromEntries(
    lines.map((line) => {
      const cut = line.lastIndexOf(" ");
      return [line.slice(name.length, cut), Number(line.slice(cut + 1))];
    }),
  );
}

function typeOf(name: string): string | undefined {
  return new RegExp(`^# TYPE ${name} (\\w+)$`, "m").exec(text)?.[1];
}

describe("the metrics", () => {
  it.each([
    "dibs_claim_duration_seconds",
    "dibs_enqueue_duration_seconds",
    "dibs_settle_duration_seconds",
    "dibs_task_wait_seconds",
    "dibs_task_run_seconds",
    "dibs_schedule_lateness_seconds",
    "dibs_storage_call_duration_seconds",
    "dibs_merged_calls",
    "dibs_gc_pause_seconds",
  ])("have the histogram %s", (name) => {
    expect(typeOf(name)).toBe("histogram");
    expect(Object.keys(samples(`${name}_bucket`)).some((labels) => labels.includes('le="+Inf"'))).toBe(true);
  });

  it.each([
    "dibs_tasks_enqueued_total",
    "dibs_tasks_claimed_total",
    "dibs_tasks_completed_total",
    "dibs_tasks_nacked_total",
    "dibs_tasks_dead_total",
    "dibs_leases_expired_total",
    "dibs_leases_lost_total",
    "dibs_storage_errors_total",
    "dibs_cache_hits_total",
    "dibs_cache_misses_total",
    "dibs_cache_invalidations_total",
  ])("have the counter %s", (name) => {
    expect(typeOf(name)).toBe("counter");
    expect(Object.keys(samples(name)).length).toBeGreaterThan(0);
  });

  it.each([
    "dibs_queue_depth",
    "dibs_cache_enabled",
    "dibs_oldest_ready_age_seconds",
    "dibs_waiting_claims",
    "dibs_storage_connections",
  ])("have the gauge %s", (name) => {
    expect(typeOf(name)).toBe("gauge");
    expect(Object.keys(samples(name)).length).toBeGreaterThan(0);
  });

  it("have the event loop's delay", () => {
    expect(["gauge", "histogram", "summary"]).toContain(typeOf("dibs_event_loop_delay_seconds"));
  });

  it("count what happened", () => {
    const total = (name: string): number =>
      Object.values(samples(name)).reduce((sum, value) => sum + value, 0);

    expect(total("dibs_tasks_enqueued_total")).toBe(5);
    expect(total("dibs_tasks_completed_total")).toBe(1);
    expect(total("dibs_tasks_nacked_total")).toBe(2);
    expect(total("dibs_tasks_dead_total")).toBe(1);
    expect(total("dibs_leases_expired_total")).toBe(1);
    expect(total("dibs_leases_lost_total")).toBe(1);
    expect(samples("dibs_waiting_claims")).toEqual({ "": 1 });
  });

  it("tell claims that hit, found nothing or waited apart, from 50 µs on", () => {
    for (const outcome of ["hit", "empty", "waited"]) {
      const count = samples("dibs_claim_duration_seconds_count");
      expect(
        Object.entries(count).find(([labels]) => labels.includes(`outcome="${outcome}"`))?.[1],
      ).toBeGreaterThan(0);
    }
    const bounds = [...text.matchAll(/^dibs_claim_duration_seconds_bucket\{.*le="([^"]+)"/gm)].map(
      ([, le]) => (le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le)),
    );
    expect(Math.min(...bounds)).toBe(0.000_05);
  });

  it("count depth by state, which is that of the store", () => {
    const depth = samples("dibs_queue_depth");
    const of = (state: string): number | undefined =>
      Object.entries(depth).find(
        ([labels]) => labels.includes('queue="m"') && labels.includes(`state="${state}"`),
      )?.[1];

    expect([of("ready"), of("completed"), of("dead")]).toEqual([2, 1, 1]);
  });

  it("have no labels but queue, outcome, state and verb", () => {
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));

    for (const label of ["le", "quantile"]) labels.delete(label);
    expect([...labels].sort()).toEqual(["outcome", "queue", "state", "verb"]);
  });
});
