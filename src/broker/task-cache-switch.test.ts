import { describe, expect, it } from "vitest";
import { type CacheMode, CacheSwitch } from "./task-cache-switch.ts";

/** A switch under a load, with a clock of its own. */
class Load {
  now = 0;
  readonly switch: CacheSwitch;

  constructor(mode: CacheMode = "auto") {
    this.switch = new CacheSwitch(mode, this.now);
  }

  /** Seconds of rounds of `reads` reads and then a write; answers in how many of them the cache was on. */
  seconds(count: number, reads: number, rounds: number, invalidations = 0): number {
    let on = 0;
    for (let second = 0; second < count; second += 1) {
      for (let round = 0; round < rounds; round += 1) {
        for (let read = 0; read < reads; read += 1) this.switch.noteRead();
        this.switch.noteWrites(1);
      }
      for (let n = 0; n < invalidations; n += 1) this.switch.noteInvalidation();
      on += this.next();
    }
    return on;
  }

  next(): number {
    this.now += 1_000;
    return this.switch.isOn(this.now) ? 1 : 0;
  }
}

describe("the switch of the cache", () => {
  it("stays off at exactly five reads a write, and below", () => {
    expect(new Load().seconds(60, 5, 1_000)).toBe(0);
    expect(new Load().seconds(60, 1, 1_000)).toBe(0);
  });

  it("stays off at five reads a write also when chance deals them", () => {
    const load = new Load();
    // A generator of its own, so that the test deals the same every time (Park and Miller, 1988).
    let seed = 20_261_124;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };

    let on = 0;
    for (let second = 0; second < 300; second += 1) {
      for (let n = 0; n < 600; n += 1) {
        if (random() < 5 / 6) load.switch.noteRead();
        else load.switch.noteWrites(1);
      }
      on += load.next();
    }

    expect(on).toBe(0);
  });

  it("stays off when the second is cut in the middle of a round of five reads and a write", () => {
    const load = new Load();
    let on = 0;
    for (let second = 0; second < 60; second += 1) {
      for (let read = 0; read < 5; read += 1) load.switch.noteRead();
      on += load.next();
      load.switch.noteWrites(1);
    }

    expect(on).toBe(0);
  });

  it("goes on above five reads a write, sooner the clearer it is", () => {
    expect(new Load().seconds(10, 20, 100)).toBe(10);
    expect(new Load().seconds(10, 6, 1_000)).toBeGreaterThanOrEqual(8);
  });

  it("goes on when there are only reads, but not for a few of them", () => {
    const busy = new Load();
    for (let n = 0; n < 100; n += 1) busy.switch.noteRead();
    const quiet = new Load();
    for (let n = 0; n < 50; n += 1) quiet.switch.noteRead();

    expect([busy.next(), quiet.next()]).toEqual([1, 0]);
  });

  it("goes off when writes come, and counts a call's tasks one by one", () => {
    const load = new Load();
    load.seconds(10, 20, 100);

    load.switch.noteWrites(10_000);
    load.switch.noteRead();

    expect(load.next()).toBe(0);
  });

  it("forgets a load that is over", () => {
    const load = new Load();
    load.seconds(10, 20, 100);

    load.now += 3_600_000;
    load.switch.isOn(load.now);

    expect(load.switch.readsAWrite(load.now)).toBeLessThan(0.001);
    expect(load.next()).toBe(0);
  });

  it("goes off when more than a fifth of the reads is invalidated, and rests for a minute then", () => {
    const load = new Load();
    expect(load.seconds(10, 20, 100, 390)).toBe(10);

    expect(load.seconds(1, 20, 100, 2_000)).toBe(0);

    expect(load.seconds(59, 20, 100)).toBe(0);
    expect(load.seconds(1, 20, 100)).toBe(1);
  });

  it("is always on, or never, when told so", () => {
    expect(new Load("on").seconds(5, 1, 100, 500)).toBe(5);
    expect(new Load("off").seconds(5, 20, 100)).toBe(0);
  });

  it("tells how many reads a write it sees", () => {
    const load = new Load();
    load.seconds(10, 7, 500);

    expect(load.switch.readsAWrite(load.now)).toBeCloseTo(7);
  });
});
