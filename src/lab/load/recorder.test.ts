import { describe, expect, it } from "vitest";
import { nowNs } from "../nano-clock.ts";
import { type Ending, EventLog, toShared } from "./event-log.ts";
import { LoadRecorder } from "./recorder.ts";
import type { Timed } from "./scenario.ts";

const MS = 1e6;

/** A recorder of a run that began at `startAt`, and the log of a process that tells it. */
function aRun(headline: Timed = "claim") {
  const startAt = nowNs();
  const recorder = new LoadRecorder(headline, toShared(startAt));
  const log = new EventLog((events) => recorder.add(structuredClone(events)));
  log.open();
  const note = (timed: Timed, ending: Ending, intendedMs: number, endedMs: number, sentMs = intendedMs) =>
    log.note(timed, ending, startAt + intendedMs * MS, startAt + sentMs * MS, startAt + endedMs * MS);
  return { recorder, log, note };
}

describe("what the generators tell", () => {
  it("counts latencies from the intended time, and puts them where they were meant to be", () => {
    const { recorder, log, note } = aRun();
    for (let n = 0; n < 3_000; n += 1) note("claim", "done", n, n + 2, n + 1);
    note("claim", "done", 500, 2_900, 2_895);
    log.close();

    expect(recorder.latency("claim").count).toBe(3_001);
    expect(recorder.latency("claim").percentileNs(50) / MS).toBeCloseTo(2, 1);
    expect(recorder.second(0).maxNs).toBeCloseTo(2_400 * MS, -3);
    expect(recorder.second(2).maxNs).toBeCloseTo(2 * MS, -3);
    expect(recorder.second(2).claimed).toBe(1_001);
  });

  it("keeps failures, empty claims and what came early apart", () => {
    const { recorder, log, note } = aRun("lateness");
    note("claim", "empty", 0, 1);
    note("enqueue", "failed", 0, 1);
    note("claim", "timed-out", 0, 1);
    note("lateness", "done", 12, 10);
    note("lateness", "done", 10, 13);
    log.close();

    expect(recorder.sums).toEqual({ claimed: 2, empty: 1, errors: 1, timeouts: 1, early: 1 });
    expect(recorder.latency("claim").count).toBe(0);
    expect(recorder.second(0)).toMatchObject({ errors: 2, p99Ns: expect.closeTo(3 * MS, -3) });
  });

  it("forgets what was meant to be before the run, and what was not noted", () => {
    const { recorder, log, note } = aRun();
    note("claim", "done", -500, 10);
    log.close();
    note("claim", "done", 20, 30);

    expect(recorder.sums.claimed).toBe(0);
  });
});
