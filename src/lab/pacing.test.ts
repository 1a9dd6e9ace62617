import { describe, expect, it } from "vitest";
import { type PacingClock, paceRequests, SPINNING_CLOCK } from "./pacing.ts";

/**
 * Time that moves only when the pacer waits, to a little after the moment asked for, as a real one would.
 * Answers that are due by then come in first.
 */
class VirtualClock implements PacingClock {
  readonly #lateNs: number;
  readonly #due: { at: number; answer: () => void }[] = [];
  #now = 0;

  constructor(lateNs = 0) {
    this.#lateNs = lateNs;
  }

  nowNs(): number {
    return this.#now;
  }

  /** An answer that comes `ns` from now. */
  after(ns: number): Promise<void> {
    return new Promise((answer) => this.#due.push({ at: this.#now + ns, answer }));
  }

  async until(ns: number): Promise<void> {
    await this.#deliver(ns + this.#lateNs);
  }

  /** Lets time run until every answer has come. */
  async finish(): Promise<void> {
    while (this.#due.length > 0) await this.#deliver(Math.min(...this.#due.map(({ at }) => at)));
  }

  async #deliver(end: number): Promise<void> {
    for (const due of this.#due.splice(0).sort((a, b) => a.at - b.at)) {
      if (due.at > end) this.#due.push(due);
      else {
        this.#now = Math.max(this.#now, due.at);
        due.answer();
        await settled();
      }
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** Promise callbacks that wait now, and those that they start, have run afterwards. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const MS = 1e6;

describe("open-loop pacing", () => {
  it("keeps its rate without drift although every wait ends late", async () => {
    const clock = new VirtualClock(0.3 * MS);
    const sentAt: number[] = [];

    await paceRequests({
      perSecond: 1_000,
      seconds: 10,
      outstandingMax: 10,
      clock,
      send: async () => void sentAt.push(clock.nowNs()),
    });

    expect(sentAt).toHaveLength(10_000);
    expect(sentAt.at(-1)).toBeCloseTo(9_999 * MS + 0.3 * MS, 0);
  });

  it("reports how late its own requests left", async () => {
    const clock = new VirtualClock(0.3 * MS);

    const result = await paceRequests({
      perSecond: 100,
      seconds: 1,
      outstandingMax: 10,
      clock,
      send: async () => {},
    });

    expect(result.heldBack).toBe(0);
    expect(result.lateness.percentileNs(50) / MS).toBeCloseTo(0.3, 2);
  });

  it("counts a stall for every request that was meant to leave during it", async () => {
    const clock = new VirtualClock();
    const stallUntil = 2_000 * MS;
    const running = paceRequests({
      perSecond: 100,
      seconds: 3,
      outstandingMax: 1,
      clock,
      // The server answers in 1 ms, except that one request meets a pause of one second.
      send: (n) => clock.after(n === 100 ? stallUntil - clock.nowNs() : MS),
    });
    const keepRunning = setInterval(() => void clock.finish(), 1);

    const result = await running;
    clearInterval(keepRunning);

    expect(result.succeeded).toBe(300);
    expect(result.heldBack).toBeGreaterThan(50);
    expect(result.latency.percentileNs(80) / MS).toBeGreaterThan(400);
    expect(result.service.percentileNs(80) / MS).toBeCloseTo(1, 1);
  });

  it("tells what the bound held back from what the generator itself was late", async () => {
    const clock = new VirtualClock(0.3 * MS);
    const running = paceRequests({
      perSecond: 1_000,
      seconds: 0.3,
      outstandingMax: 1,
      clock,
      send: () => clock.after(10 * MS),
    });
    const keepRunning = setInterval(() => void clock.finish(), 1);

    const { heldBack, lateness, lag } = await running;
    clearInterval(keepRunning);

    expect(heldBack).toBe(299);
    expect(lateness.percentileNs(50) / MS).toBeGreaterThan(500);
    expect(lag.maxNs / MS).toBeLessThan(1);
  });

  it("gives up what could not leave in time, and says how much that was", async () => {
    const clock = new VirtualClock();
    const running = paceRequests({
      perSecond: 1_000,
      seconds: 1,
      overrunSeconds: 0.5,
      outstandingMax: 1,
      clock,
      send: () => clock.after(10 * MS),
    });
    const keepRunning = setInterval(() => void clock.finish(), 1);

    const { sent, unsent, seconds } = await running;
    clearInterval(keepRunning);

    expect(sent + unsent).toBe(1_000);
    expect(sent).toBeCloseTo(150, -1);
    expect(seconds).toBeCloseTo(1.51, 1);
  });

  it("ends early when it is told to, with the answers of all that has left", async () => {
    const clock = new VirtualClock();
    const stop = new AbortController();
    const intended: number[] = [];

    const result = await paceRequests({
      perSecond: 100,
      seconds: 10,
      outstandingMax: 10,
      clock,
      signal: stop.signal,
      async send(n, intendedAt) {
        intended.push(intendedAt / MS);
        if (n === 4) stop.abort();
        if (n === 3) throw "no";
      },
    });

    expect(result).toMatchObject({ sent: 5, unsent: 995, succeeded: 4, failed: 1 });
    expect(intended).toEqual([0, 10, 20, 30, 40]);
  });

  it("keeps at most the bound of requests on the way", async () => {
    const clock = new VirtualClock();
    let outstanding = 0;
    let most = 0;
    const running = paceRequests({
      perSecond: 1_000,
      seconds: 0.1,
      outstandingMax: 7,
      clock,
      async send() {
        outstanding += 1;
        most = Math.max(most, outstanding);
        await clock.after(50 * MS);
        outstanding -= 1;
      },
    });
    const keepRunning = setInterval(() => void clock.finish(), 1);

    const result = await running;
    clearInterval(keepRunning);

    expect(most).toBe(7);
    expect(result).toMatchObject({ sent: 100, succeeded: 100, failed: 0 });
  });

  it("counts failures apart and keeps their first messages", async () => {
    const result = await paceRequests({
      perSecond: 100,
      seconds: 1,
      outstandingMax: 10,
      clock: new VirtualClock(),
      async send(n) {
        if (n % 4 === 0) throw new Error(`refused with ${n % 3}`);
      },
    });

    expect(result).toMatchObject({ sent: 100, succeeded: 75, failed: 25 });
    expect(result.latency.count).toBe(75);
    expect([...result.failures].sort()).toEqual([
      "Error: refused with 0",
      "Error: refused with 1",
      "Error: refused with 2",
    ]);
  });

  it("refuses a rate of nothing", async () => {
    const pacing = { perSecond: 0, seconds: 1, outstandingMax: 1, send: async () => {} };

    await expect(paceRequests(pacing)).rejects.toThrow("Expected perSecond to be above 0, got 0");
  });

  it("never leaves before the intended time on the real clock", async () => {
    const startedAt = SPINNING_CLOCK.nowNs();
    const leftAfterMs: number[] = [];

    await paceRequests({
      perSecond: 200,
      seconds: 0.1,
      outstandingMax: 100,
      send: async () => void leftAfterMs.push((SPINNING_CLOCK.nowNs() - startedAt) / MS),
    });

    expect(leftAfterMs).toHaveLength(20);
    expect(leftAfterMs.every((ms, n) => ms >= n * 5)).toBe(true);
  });
});
