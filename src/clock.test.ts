import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Clock, ManualClock, steadyClock } from "./clock.ts";

const HOUR = 3_600_000;
const START = 1_764_000_000_000;

/** A machine whose wall clock can be set. */
class Machine {
  #real = 0;
  #offset = START;
  readonly clock: Clock = steadyClock({ wall: () => this.wall(), monotonic: () => this.#real });

  /** Whole milliseconds, as the system gives them. */
  wall(): number {
    return Math.floor(this.#real + this.#offset);
  }

  pass(ms: number): void {
    this.#real += ms;
  }

  setWall(byMs: number): void {
    this.#offset += byMs;
  }
}

/** How far the clock moves while `ms` of real time pass, read every `stepMs`. */
function movesIn(machine: Machine, ms: number, stepMs = 1_000): number {
  const before = machine.clock.now();
  for (let passed = 0; passed < ms; passed += stepMs) {
    machine.pass(stepMs);
    machine.clock.now();
  }
  return machine.clock.now() - before;
}

describe("the steady clock", () => {
  it("shows the wall clock's time while nobody sets it", () => {
    const machine = new Machine();

    expect(movesIn(machine, HOUR)).toBe(HOUR);
    expect(machine.clock.now()).toBe(machine.wall());
  });

  it("runs twice as fast, and never jumps, after the wall clock jumped an hour forward", () => {
    const machine = new Machine();
    machine.setWall(HOUR);

    expect(machine.clock.now()).toBe(START);
    expect(movesIn(machine, 60_000)).toBe(120_000);
  });

  it("runs half as fast, and never stands still, after the wall clock jumped an hour back", () => {
    const machine = new Machine();
    machine.setWall(-HOUR);

    expect(machine.clock.now()).toBe(START);
    expect(movesIn(machine, 60_000)).toBe(30_000);
  });

  it.each([
    ["forward", HOUR, HOUR],
    ["back", -HOUR, 2 * HOUR],
  ])("agrees with the wall clock again in time, after an hour %s, and stays there", (_, jump, needed) => {
    const machine = new Machine();
    machine.setWall(jump);

    movesIn(machine, needed + 10_000);

    expect(Math.abs(machine.clock.now() - machine.wall())).toBeLessThanOrEqual(2);
    expect(movesIn(machine, 60_000)).toBe(60_000);
  });

  it("never goes back and keeps between half and twice the pace, whatever is done to the wall clock", () => {
    const aStep = fc.record({
      passMs: fc.double({ min: 0, max: 600_000, noNaN: true }),
      setMs: fc.oneof(fc.constant(0), fc.integer({ min: -10 * HOUR, max: 10 * HOUR })),
    });
    fc.assert(
      fc.property(fc.array(aStep, { maxLength: 50 }), (steps) => {
        const machine = new Machine();
        let last = machine.clock.now();
        for (const { passMs, setMs } of steps) {
          machine.setWall(setMs);
          machine.pass(passMs);
          const now = machine.clock.now();
          expect(Number.isInteger(now)).toBe(true);
          // One millisecond either way is the rounding to whole ones.
          expect(now - last).toBeGreaterThanOrEqual(Math.max(0, passMs / 2 - 1));
          expect(now - last).toBeLessThanOrEqual(passMs * 2 + 1);
          last = now;
        }
      }),
    );
  });

  it("follows a wall clock that is slewed by a few parts in a million without being seen to", () => {
    const machine = new Machine();
    for (let second = 0; second < 3_600; second += 1) {
      machine.setWall(0.05);
      machine.pass(1_000);
      expect(Math.abs(machine.clock.now() - machine.wall())).toBeLessThanOrEqual(3);
    }
  });

  it("is the system's time by default", () => {
    const before = Date.now();
    const now = steadyClock().now();

    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(Date.now());
  });
});

describe("the manual clock", () => {
  it("moves only when told, and only forward", () => {
    const clock = new ManualClock(START);
    clock.advance(0);
    clock.advance(1_500);

    expect(clock.now()).toBe(START + 1_500);
    expect(() => clock.advance(-1)).toThrow(new RangeError("Expected ms to be 0 or more, got -1"));
    expect(clock.now()).toBe(START + 1_500);
  });
});
