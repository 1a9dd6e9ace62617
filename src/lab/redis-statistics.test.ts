import { describe, expect, it } from "vitest";
import { differenceOf, infoField, parseRedisStatistics, sumOfReadings } from "./redis-statistics.ts";

const CPU = "used_cpu_sys_main_thread:1.000000\r\nused_cpu_user_main_thread:2.500000\r\n";

function stats(calls: Readonly<Record<string, readonly [calls: number, usec: number]>>): string {
  return Object.entries(calls)
    .map(([name, [count, usec]]) => `cmdstat_${name}:calls=${count},usec=${usec},usec_per_call=1.00`)
    .join("\r\n");
}

describe("statistics of a Redis", () => {
  it("tells scripts, what they called, and the observer's own apart", () => {
    const before = parseRedisStatistics(stats({ evalsha: [10, 100], info: [1, 50], hmget: [5, 5] }), CPU);
    const after = parseRedisStatistics(
      stats({ evalsha: [13, 160], info: [3, 150], hmget: [11, 9], "client|setinfo": [2, 2], lpop: [3, 3] }),
      CPU.replace("2.500000", "2.500400"),
    );

    const reading = differenceOf(after, before);

    expect(reading).toMatchObject({ scripts: 3, scriptUs: 60, inner: 9, plain: { hmget: 6, lpop: 3 } });
    expect(reading.commands).toBe(3 + 6 + 2 + 3);
    expect(reading.cpuUs).toBeCloseTo(400, 3);
  });

  it("adds up stretches", () => {
    const one = { scripts: 1, scriptUs: 2, inner: 3, cpuUs: 4, commands: 5, plain: { hget: 1 } };

    expect(sumOfReadings([one, { ...one, plain: { hget: 2, lpop: 1 } }])).toEqual({
      scripts: 2,
      scriptUs: 4,
      inner: 6,
      cpuUs: 8,
      commands: 10,
      plain: { hget: 3, lpop: 1 },
    });
  });

  it("takes the whole process's time where the server does not count its main thread apart", () => {
    const { cpuUs } = parseRedisStatistics("", "used_cpu_sys:1.5\r\nused_cpu_user:2.5\r\n");

    expect(cpuUs).toBe(4e6);
  });

  it("names a field that is not there", () => {
    expect(() => infoField("redis_version:7.0.15\r\n", "maxmemory")).toThrow("INFO has no maxmemory");
  });
});
