import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Dibs } from "../src/sdk/client.ts";
import { DibsError } from "../src/task/errors.ts";
import { Closing, PLACES } from "./sdk-places.ts";

/** Everything that a caller can get wrong, as a call. */
const FAULTS: Readonly<Record<string, (dibs: Dibs) => Promise<unknown>>> = {
  "a queue name with a slash": (dibs) => dibs.enqueue("no/slash"),
  "a queue name that is too long": (dibs) => dibs.enqueueMany("q".repeat(101), [1]),
  "a priority of 10": (dibs) => dibs.enqueue("q", 1, { priority: 10 }),
  "a fractional priority": (dibs) => dibs.enqueue("q", 1, { priority: 0.5 }),
  "a negative delay": (dibs) => dibs.enqueue("q", 1, { delayMs: -1 }),
  "a delay beyond ten years": (dibs) => dibs.enqueue("q", 1, { delayMs: 1e13 }),
  "an instant before 1970": (dibs) => dibs.enqueue("q", 1, { runAt: -1 }),
  "an instant that is no time": (dibs) => dibs.enqueue("q", 1, { runAt: "tomorrow" }),
  "an instant without a zone": (dibs) => dibs.enqueue("q", 1, { runAt: "2026-01-31T08:00:00" }),
  "an instant and a delay": (dibs) => dibs.enqueue("q", 1, { runAt: 1, delayMs: 1 }),
  "no attempts": (dibs) => dibs.enqueue("q", 1, { maxAttempts: 0 }),
  "an unknown jitter": (dibs) => dibs.enqueue("q", 1, { backoff: { jitter: "some" as never } }),
  "an unknown field of the backoff": (dibs) => dibs.enqueue("q", 1, { backoff: { base: 1 } as never }),
  "an empty idempotency key": (dibs) => dibs.enqueue("q", 1, { idempotencyKey: "" }),
  "an idempotency key that is too long": (dibs) => dibs.enqueue("q", 1, { idempotencyKey: "k".repeat(201) }),
  "a tag that is not text": (dibs) => dibs.enqueue("q", 1, { tags: { n: 1 } as never }),
  "too many tags": (dibs) =>
    dibs.enqueue("q", 1, { tags: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`t${n}`, ""])) }),
  "a payload that is too large": (dibs) => dibs.enqueue("q", "x".repeat(1024 * 1024)),
  "no queues": (dibs) => dibs.claim({ queues: [] }),
  "17 queues": (dibs) => dibs.claim({ queues: Array.from({ length: 17 }, (_, n) => `q${n}`) }),
  "a claim of none": (dibs) => dibs.claim({ queues: ["q"], max: 0 }),
  "a claim of 1,001": (dibs) => dibs.claim({ queues: ["q"], max: 1_001 }),
  "a lease of 999 ms": (dibs) => dibs.claim({ queues: ["q"], leaseMs: 999 }),
  "a wait of 60,001 ms": (dibs) => dibs.claim({ queues: ["q"], waitMs: 60_001 }),
  "a worker's label that is too long": (dibs) => dibs.claim({ queues: ["q"], worker: "w".repeat(101) }),
  "an unknown field of a claim": (dibs) => dibs.claim({ queues: ["q"], limit: 1 } as never),
  "no outcomes": (dibs) => dibs.settle([]),
  "an unknown outcome": (dibs) =>
    dibs.settle([{ id: "q~0123456789abcdef", leaseToken: "x", outcome: "ack" as never }]),
  "an outcome with a stray field": (dibs) =>
    dibs.settle([{ id: "q~0123456789abcdef", leaseToken: "x", outcome: "release", result: 1 }]),
  "an error text over 10 kB": (dibs) =>
    dibs.settle([{ id: "q~0123456789abcdef", leaseToken: "x", outcome: "nack", error: "e".repeat(10_241) }]),
  "no leases": (dibs) => dibs.heartbeat([]),
  "an id that no task can have": (dibs) => dibs.task("?/.."),
  "an id that is too long": (dibs) => dibs.cancel("x".repeat(2_000)),
  "the id of no task": (dibs) => dibs.task("q~0123456789abcdef"),
  "the result of no task": (dibs) => dibs.waitForResult("q~0123456789abcdef"),
  "a requeue of no task": (dibs) => dibs.requeue("q~0123456789abcdef"),
  "a forced release of no task": (dibs) => dibs.forceRelease("q~0123456789abcdef"),
  "a queue that does not exist": (dibs) => dibs.queue("nobody").get(),
  "a listing of a queue that does not exist": (dibs) => dibs.queue("nobody").tasks({ state: "ready" }).next(),
  "an unknown state": (dibs) =>
    dibs
      .queue("q")
      .tasks({ state: "lost" as never })
      .next(),
  "a purge of leased tasks": (dibs) => dibs.queue("q").purge("leased" as never),
  "a requeue of too many": (dibs) => dibs.queue("q").requeueDead(10_001),
  "a depth of 0": (dibs) => dibs.queue("q").configure({ maxDepth: 0 }),
  "an unknown field of a queue": (dibs) => dibs.queue("q").configure({ priority: 1 } as never),
  "a pause of a queue that does not exist": (dibs) => dibs.queue("nobody").pause(),
  "an unknown option": (dibs) => dibs.enqueue("q", 1, { delay: 1 } as never),
};

// The same fault is the same error everywhere: class, code, message, details.
describe("an error", () => {
  const closing = new Closing();
  const clients = new Map<string, Dibs>();

  beforeAll(async () => {
    for (const { name, open } of PLACES) {
      const dibs = await closing.connect(await open());
      await dibs.queue("q").configure({});
      clients.set(name, dibs);
    }
  });
  afterAll(() => closing.all());

  it.each(Object.entries(FAULTS))("is the same everywhere for %s", async (_, fault) => {
    const seen = new Map<string, unknown>();
    for (const [name, dibs] of clients) seen.set(name, told(await fault(dibs).catch((error) => error)));

    const [first, ...others] = seen.values();
    expect(first).toMatchObject({ code: expect.any(String) });
    for (const other of others) expect(other).toEqual(first);
  });

  it("names the depth for a payload that is nested too deeply; HTTP counts the whole body", async () => {
    for (const dibs of clients.values()) {
      const deep: unknown = JSON.parse("[".repeat(600) + "]".repeat(600));
      const error: unknown = await dibs.enqueue("q", deep).catch((thrown) => thrown);

      expect(error).toMatchObject({ code: "invalid_request", details: { bound: 512 } });
    }
  });

  it("carries the id of its request over HTTP, and says what is wrong with what", async () => {
    const dibs = clients.get("http://") as Dibs;

    const error: unknown = await dibs.enqueue("q", 1, { priority: 10 }).catch((thrown) => thrown);

    expect(error).toMatchObject({
      code: "invalid_request",
      retryable: false,
      requestId: expect.stringMatching(/.+/),
      details: { field: "priority", bound: 9, value: 10 },
    });
  });
});

function told(error: unknown): unknown {
  if (!(error instanceof DibsError)) return error;
  const { name, code, message, details, retryable } = error;
  return { name, code, message, details, retryable };
}
