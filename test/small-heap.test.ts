import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

/** A heap that some 200,000 idempotency keys fill. */
const HEAP_MIB = 64;
const FILLER = new URL("./store/keyed-filler.mjs", import.meta.url).pathname;
const HOUR_MS = 3_600_000;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-small-heap-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function filled(...more: readonly string[]) {
  const args = [`--max-old-space-size=${HEAP_MIB}`, FILLER, join(folder, "data"), ...more];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  let stdout = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("close", (...ended) => resolve(ended)),
  );
  const lines = stdout.split("\n").filter(Boolean);
  return { code, signal, steps: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("a process with a small heap", () => {
  it(
    "answers queue_full to keyed tasks without end, works on, and takes tasks again when keys are forgotten",
    async () => {
      const { code, steps } = await filled();

      expect(steps.map(({ step }) => step)).toEqual(["refused", "drained", "forgotten", "again"]);
      const [refused, drained, forgotten, again] = steps;
      expect(refused).toMatchObject({
        code: "queue_full",
        details: { queue: "emails", limit: 32 * 2 ** 20 },
      });
      expect(refused?.["message"]).toMatch(
        /\d+ idempotency keys .* the limit is 33554432 \(memoryBytesMax\)$/,
      );
      expect(drained).toMatchObject({ tasks: 0 });
      expect(drained?.["completed"]).toBeGreaterThan(0);
      expect(drained?.["keys"]).toBeGreaterThan(50_000);
      expect(forgotten).toMatchObject({ keys: 0 });
      expect(again).toEqual({ step: "again", completed: 200 });
      expect(code).toBe(0);
    },
    HOUR_MS,
  );

  it(
    "dies of them with a bound above its heap: what the bound is for",
    async () => {
      const { code, signal, steps } = await filled(String(1024 ** 3));

      expect(steps).toEqual([]);
      expect(code === 0).toBe(false);
      expect([code, signal]).not.toEqual([1, null]);
    },
    HOUR_MS,
  );
});
