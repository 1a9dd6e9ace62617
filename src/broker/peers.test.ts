import { describe, expect, it, onTestFinished } from "vitest";
import { EMAILS } from "../../test/broker/opened.ts";
import { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import { Broker } from "./broker.ts";
import type { OwnFigures, Peers } from "./peers.ts";

/** Two brokers on one store that tell each other their figures, as processes of one server do. */
async function pair(): Promise<readonly [Broker, Broker]> {
  const storage = await EmbeddedStorage.open();
  const brokers: Broker[] = [];
  const peersOf = (at: number): Peers => {
    const other = (): OwnFigures => (brokers[1 - at] as Broker).figures;
    return {
      queue: async (queue) => [other().queue(queue)],
      waiting: async () => [other().waiting()],
      metrics: async () => [await other().metrics()],
    };
  };
  for (const at of [0, 1]) brokers.push(await Broker.open(storage, { peers: peersOf(at) }));
  onTestFinished(async () => {
    for (const broker of brokers) await broker.close();
  });
  return brokers as [Broker, Broker];
}

function sampleIn(text: string, line: string): number {
  const found = text.split("\n").find((each) => each.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1));
}

describe("a server of two processes", () => {
  it("counts what both did, and reads the depth of the store once", async () => {
    const [one, other] = await pair();
    for (const broker of [one, one, other]) await broker.enqueue({ queue: EMAILS, payload: "1" });
    await one.claim({ queues: [EMAILS], max: 1, waitMs: 0 });
    await other.claim({ queues: [EMAILS], max: 1, waitMs: 0 });

    for (const broker of [one, other]) {
      const text = await broker.metrics.render();
      expect(sampleIn(text, 'dibs_tasks_enqueued_total{queue="emails"}')).toBe(3);
      expect(sampleIn(text, 'dibs_claim_duration_seconds_count{outcome="hit"}')).toBe(2);
      expect(sampleIn(text, 'dibs_claim_duration_seconds_bucket{outcome="hit",le="+Inf"}')).toBe(2);
      expect(sampleIn(text, 'dibs_queue_depth{queue="emails",state="leased"}')).toBe(2);
      expect(sampleIn(text, 'dibs_storage_connections{state="ready"}')).toBe(2);
      expect(text.match(/^# TYPE dibs_queue_depth gauge$/gm)).toHaveLength(1);
    }
  });

  it("shows the claims that wait at either, and the latency of both together", async () => {
    const [one, other] = await pair();
    await one.enqueue({ queue: EMAILS, payload: "1" });
    await one.claim({ queues: [EMAILS], max: 1, waitMs: 0 });
    const ends = new AbortController();
    const waits = [one, other].map((broker) =>
      broker.claim({ queues: [EMAILS], max: 1, waitMs: 10_000 }, ends.signal),
    );

    await expect.poll(async () => (await other.queue(EMAILS)).waiting).toBe(2);
    expect((await one.queues()).map(({ waiting }) => waiting)).toEqual([2]);
    const { latency } = await other.queue(EMAILS);
    expect(latency.claim.p50).toBeGreaterThan(0);
    expect(latency).toEqual((await one.queue(EMAILS)).latency);
    ends.abort();
    await Promise.all(waits);
  });
});
