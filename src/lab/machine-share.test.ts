import { describe, expect, it } from "vitest";
import { machineShare, parseCoreTicks } from "./machine-share.ts";

const STAT = "cpu  100 10 40 800 30 5 15 0 7 0\ncpu0 50 5 20 400 15 2 8 0 3 0\n";

describe("machine share", () => {
  it("counts guest time once and waiting for the disk as idle", () => {
    expect(parseCoreTicks(STAT)).toEqual({ busy: 170, steal: 0, total: 1_000 });
  });

  it("gives the shares of the time between two readings", () => {
    const before = parseCoreTicks(STAT);
    const after = parseCoreTicks("cpu  150 10 40 830 30 5 15 20 7 0\n");

    expect(machineShare(before, after)).toEqual({ busyPercent: 50, stealPercent: 20 });
  });

  it("knows nothing when a reading is missing or no time passed", () => {
    const once = parseCoreTicks(STAT);

    expect(machineShare(undefined, once)).toBeUndefined();
    expect(machineShare(once, once)).toBeUndefined();
  });

  it("refuses a file that is not the kernel's", () => {
    expect(() => parseCoreTicks("intr 1 2 3\n")).toThrow('begin with "cpu"');
  });
});
