import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Slots } from "./slots.ts";

describe("slots", () => {
  it("are promised once", () => {
    const slots = new Slots(3);

    expect(slots.promise()).toBe(3);
    expect(slots.promise()).toBe(0);
    slots.takeBack(3);
    slots.take();
    expect(slots.promise()).toBe(2);
  });

  it("may be promised again before they are free, to the claim that travels with their settle", () => {
    const slots = new Slots(2);
    slots.take();
    slots.take();

    expect(slots.promise()).toBe(0);
    expect(slots.promise(1)).toBe(1);
  });

  it("are promised to each of several settles under way, as many as it frees", () => {
    const slots = new Slots(4);
    for (let task = 0; task < 4; task += 1) slots.take();

    expect(slots.promise(2)).toBe(2);
    expect(slots.promise(2)).toBe(2);
    expect(slots.promise()).toBe(0);
  });

  it("are more while tasks may be claimed ahead, and fewer again when what was claimed has ended", () => {
    const slots = new Slots(1);
    slots.ahead = 2;

    expect(slots.promise()).toBe(3);
    slots.takeBack(3);
    for (let task = 0; task < 3; task += 1) slots.take();
    slots.ahead = 0;
    expect(slots.promise(1)).toBe(0);
    slots.free();
    slots.free();
    expect(slots.promise(1)).toBe(1);
  });

  it("are promised to one claim at a time where one task runs at a time, so that tasks come in their order", () => {
    const slots = new Slots(1);
    slots.ahead = 2;
    slots.take();

    expect(slots.promise(1)).toBe(3);
    expect(slots.promise(1)).toBe(0);
    slots.takeBack(3, 1);
    expect(slots.promise(1)).toBe(3);
  });

  it("are promised to one claim at a time also when it asks for no more than it frees", () => {
    const slots = new Slots(1);
    slots.take();
    expect(slots.promise(1)).toBe(1);

    // Its task was lost meanwhile.
    slots.free();
    expect(slots.promise()).toBe(0);
    slots.takeBack(1, 1);
    expect(slots.promise()).toBe(1);
  });

  it("are promised ahead to no claim of its own while every handler has a task", () => {
    const slots = new Slots(2);
    slots.ahead = 10;
    slots.take();
    slots.take();

    expect(slots.promise()).toBe(0);
    slots.free();
    expect(slots.promise()).toBe(11);
    expect(slots.promise()).toBe(0);
  });

  it("are promised a thousand at a time, as many as a claim may ask for", () => {
    expect(new Slots(5_000).promise()).toBe(1_000);
  });

  it("are never exceeded by claims that bring what they were promised", () => {
    const steps = fc.array(fc.constantFrom("claim", "answer", "settle", "end"), { maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), steps, (size, names) => {
        const slots = new Slots(size);
        const claims: number[] = [];
        const settles: number[] = [];
        let running = 0;
        for (const name of names) {
          if (name === "claim") claims.push(slots.promise());
          if (name === "answer" && claims.length > 0) {
            const asked = claims.shift() as number;
            slots.takeBack(asked);
            for (let index = 0; index < asked; index += 1) slots.take();
            running += asked;
          }
          if (name === "settle" && running > 0) {
            running -= 1;
            settles.push(slots.promise(1));
          }
          if (name === "end" && settles.length > 0) {
            const asked = settles.shift() as number;
            slots.takeBack(asked, 1);
            slots.free();
            for (let index = 0; index < asked; index += 1) slots.take();
            running += asked;
          }
          expect(slots.taken).toBe(running + settles.length);
          expect(slots.taken).toBeLessThanOrEqual(size);
        }
      }),
    );
  });
});
