import { describe, expect, it } from "vitest";
import { aClaim, anEnqueue, EMAILS, opened } from "../../test/broker/opened.ts";
import { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import type { QueueName } from "../task/ids.ts";
import { Calls } from "./calls.ts";
import { Lines } from "./lines.ts";
import { Meters } from "./meters.ts";
import { Turn } from "./turn.ts";

describe("what a broker holds of its queues", () => {
  it("is dropped for names that nobody uses, and kept for those that are in use", async () => {
    const storage = await EmbeddedStorage.open({});
    const meters = new Meters();
    const lines = new Lines({
      storage,
      calls: new Calls(meters),
      turn: new Turn(),
      meters,
      callsInFlight: 1,
      expectDue: () => {},
      noteFinished: () => {},
    });
    const measured = lines.of(EMAILS);
    measured.claimWindow.record(1, performance.now());
    const waitedAt = lines.of("waited-at" as QueueName);
    waitedAt.waiting.enter({ isResting: false, weight: 1, wake() {}, dismiss() {}, fail() {} });

    for (let name = 0; name < 10_000; name += 1) lines.of(`made-up-${name}` as QueueName);

    expect([...lines.all()].length).toBeLessThanOrEqual(1_000);
    expect(lines.of(EMAILS)).toBe(measured);
    expect(lines.of("waited-at" as QueueName)).toBe(waitedAt);
    await storage.close();
  });

  it("loses no call in the change", async () => {
    const { broker } = await opened();

    const names = Array.from({ length: 1_200 }, (_, index) => `queue-${index}` as QueueName);
    const enqueued = names.map((queue) => broker.enqueue(anEnqueue({ queue })));
    const claimed = names.map((queue) => broker.claim(aClaim({ queues: [queue], waitMs: 60_000 })));

    await Promise.all(enqueued);
    expect((await Promise.all(claimed)).map(([task]) => task?.queue)).toEqual(names);
  });
});
