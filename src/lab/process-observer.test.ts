import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ProcessObserver } from "./process-observer.ts";

function blockLoop(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/** Keeps more young objects alive than the young generation holds, so that collections must happen. */
function churn(): number {
  const kept: number[][] = [];
  for (let i = 0; i < 300_000; i += 1) kept.push([i, i, i, i]);
  return kept.length;
}

describe("process observer", () => {
  it("counts garbage collections and their longest pause", async () => {
    const observer = ProcessObserver.start();

    churn();
    const seen = await observer.stop();

    expect(seen.gcCount).toBeGreaterThan(0);
    expect(seen.gcPauseMaxMs).toBeGreaterThan(0);
    expect(seen.gcTotalMs).toBeGreaterThanOrEqual(seen.gcPauseMaxMs);
  });

  it("sees a loop that was blocked for 50 ms as a delay of nearly that", async () => {
    const observer = ProcessObserver.start();
    await wait(5);

    blockLoop(50);
    await wait(5);
    const seen = await observer.stop();

    expect(seen.eventLoopDelayMaxMs).toBeGreaterThan(40);
  });

  it("reports memory, the time it watched and the share of a core that was used", async () => {
    const observer = ProcessObserver.start(2);

    blockLoop(20);
    // Longer than the bound below asks for: a timer may fire a fraction of a millisecond before its time.
    await wait(12);
    const seen = await observer.stop();

    expect(seen.seconds).toBeGreaterThanOrEqual(0.03);
    expect(seen.cpu).toBeGreaterThan(0);
    expect(seen.rssBytesMax).toBeGreaterThan(1e6);
    expect(Number.isFinite(seen.rssSlopeBytesPerS)).toBe(true);
  });

  it("leaves out what happens between a pause and a resume", async () => {
    const observer = ProcessObserver.start();
    await wait(5);

    observer.pause();
    for (let times = 0; times < 5; times += 1) churn();
    blockLoop(60);
    await wait(5);
    observer.resume();
    await wait(5);
    const seen = await observer.stop();

    // One may happen by itself meanwhile; the churning alone needs many.
    expect(seen.gcCount).toBeLessThan(4);
    expect(seen.eventLoopDelayMaxMs).toBeLessThan(50);
    expect(seen.allocatedBytes).toBeLessThan(300_000 * 40);
    expect(observer.stretches).toHaveLength(2);
    const watchedMs = observer.stretches.reduce((sum, [from, to]) => sum + to - from, 0);
    expect(seen.seconds).toBeCloseTo(watchedMs / 1_000, 6);
  });

  it("counts what was allocated over all its stretches", async () => {
    const observer = ProcessObserver.start();
    churn();
    observer.pause();
    observer.resume();
    churn();

    // An array of four small numbers takes 48 bytes or more.
    expect((await observer.stop()).allocatedBytes).toBeGreaterThan(2 * 300_000 * 40);
  });
});
