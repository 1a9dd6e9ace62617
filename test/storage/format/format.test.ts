import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { aTask, completed } from "../../../src/storage/contract/builders.ts";
import { verifyStore } from "../../../src/storage/embedded/care/verify.ts";
import {
  FORMAT_VERSION,
  segmentName,
  segmentNumbers,
  VERSION_AT,
} from "../../../src/storage/embedded/segment.ts";
import { type ClaimedTask, TASK_STATES } from "../../../src/task/task.ts";
import { type Answers, answersOf, openAt, recordRelease } from "./record.ts";

// Each folder v1, v2, … was written by the release that brought this version of the format. It is never written
// again: whoever changes the format adds a folder, with DIBS_TEST_RECORD_FORMAT=yes, and keeps the others.
const place = fileURLToPath(new URL(".", import.meta.url));
const isRecording = process.env["DIBS_TEST_RECORD_FORMAT"] === "yes";
if (isRecording) await recordRelease(join(place, `v${FORMAT_VERSION}`));

const versions = readdirSync(place)
  .filter((name) => /^v\d+$/.test(name))
  .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
const folders = versions.flatMap((version) => ["closed", "killed"].map((end) => [version, end] as const));

function answersBy(version: string): Answers {
  return JSON.parse(readFileSync(join(place, version, "answers.json"), "utf8")) as Answers;
}

/** A copy that a test may change. */
function copyOf(version: string, end: string): string {
  const folder = mkdtempSync(join(tmpdir(), "dibs-format-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(place, version, end), folder, { recursive: true });
  return folder;
}

describe("the format of the journal", () => {
  it("has a store of each of its versions, with all that a store can hold", () => {
    expect(versions).toEqual(Array.from({ length: FORMAT_VERSION }, (_, index) => `v${index + 1}`));
    for (const version of versions) {
      const { queues } = answersBy(version);
      const tasks = queues.flatMap((queue) => queue.tasks);
      for (const state of TASK_STATES) expect(tasks.map(({ task }) => task.state)).toContain(state);
      expect(tasks.some(({ task }) => task.failures.length > 0)).toBe(true);
      expect(tasks.some(({ task }) => task.state === "completed" && task.result !== undefined)).toBe(true);
      expect(tasks.some(({ task }) => task.tags !== undefined)).toBe(true);
      expect(tasks.some(({ releases }) => releases > 0)).toBe(true);
      const keys = queues.flatMap((queue) => queue.keys);
      const ids = new Set(tasks.map(({ task }) => task.id));
      expect(keys.some(({ id }) => ids.has(id))).toBe(true);
      expect(keys.some(({ id }) => !ids.has(id))).toBe(true); // A key whose task is gone.
      expect(queues.some(({ snapshot }) => snapshot.paused)).toBe(true);
      const numbers = segmentNumbers(readdirSync(join(place, version, "killed")));
      expect(numbers.length).toBeGreaterThan(2);
      expect(numbers[0]).toBeGreaterThan(1); // Compaction has been at work.
    }
  });

  it.each(folders)(
    "%s, %s: is opened, and answers exactly as the release that wrote it did",
    async (version, end) => {
      const recorded = answersBy(version);
      const storage = await openAt(copyOf(version, end), recorded.now);

      expect(JSON.parse(JSON.stringify(await answersOf(storage)))).toEqual(recorded);
      await storage.close();
    },
  );

  it.each(folders)("%s, %s: is sound", async (version, end) => {
    expect(await verifyStore(copyOf(version, end))).toMatchObject({ isSound: true, unfinished: undefined });
  });

  it.each(folders)("%s, %s: goes on: leases are held, keys are known, fences grow", async (version, end) => {
    const { now, queues } = answersBy(version);
    const folder = copyOf(version, end);
    const storage = await openAt(folder, now);
    const stored = queues.flatMap((queue) => queue.tasks);
    const fence = stored.reduce((most, task) => Math.max(most, task.fence), 0);
    for (const { task, token } of stored) {
      if (task.state !== "leased") continue;
      const held = { ...task, lease: { ...task.lease, token } } as ClaimedTask;
      expect((await storage.settle(task.queue, [completed(held)])).outcomes[0]?.kind).toBe("completed");
    }
    for (const { snapshot, keys } of queues) {
      for (const { key, payloadHash, id } of keys) {
        const again = aTask({ idempotencyKey: key, payloadHash }, snapshot.queue);
        const [outcome] = await storage.enqueue(snapshot.queue, [again]);
        expect(outcome?.kind === "deduplicated" ? outcome.task.id : outcome).toEqual(
          outcome?.kind === "pruned" ? { kind: "pruned", id } : id,
        );
      }
      await storage.configure(snapshot.queue, { paused: false });
      const { grants } = await storage.claim(snapshot.queue, [{ max: 500 }]);
      for (const { lease } of grants.flat()) expect(lease.fence).toBeGreaterThan(fence);
    }
    const after = await answersOf(storage);
    await storage.close();

    const reopened = await openAt(folder, now);
    expect(await answersOf(reopened)).toEqual(after);
    await reopened.close();
  });

  it("of a newer version is refused, by its number, and nothing is changed", async () => {
    const folder = copyOf(`v${FORMAT_VERSION}`, "closed");
    const last = join(folder, segmentName(segmentNumbers(readdirSync(folder)).at(-1) as number));
    const content = readFileSync(last);
    content.writeUInt32LE(FORMAT_VERSION + 1, VERSION_AT);
    writeFileSync(last, content);
    const refusal = `has format version ${FORMAT_VERSION + 1}; this version of Dibs reads up to ${FORMAT_VERSION}. Use the newer one`;

    await expect(openAt(folder, answersBy(`v${FORMAT_VERSION}`).now)).rejects.toThrow(refusal);
    await expect(verifyStore(folder)).rejects.toThrow(refusal);
    expect(readFileSync(last)).toEqual(content);
  });
});
