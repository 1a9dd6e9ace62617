import { describe, expect, it } from "vitest";
import { PARTS, splitOf } from "./parts.ts";
import { joined, newTrace, pack, STAMPS, type Trace, unpack } from "./trace.ts";

/** A claim over HTTP on Redis that spends a millisecond between each two of its moments. */
function aTrace(change: Partial<Trace> = {}): Trace {
  const trace = newTrace("server-1");
  STAMPS.forEach((stamp, n) => {
    trace[stamp] = n;
  });
  return { ...trace, ...change };
}

const NEVER = { caller: [], server: [] };

describe("the split of a claim", () => {
  it("gives each part its own time, and shows what none of them covers", () => {
    const { totalMs, partsMs } = splitOf(aTrace(), NEVER, 0.25) ?? expect.fail("It was whole");

    expect(totalMs).toBe(19);
    expect(partsMs).toEqual({
      client: 2,
      "socket there": 1,
      "HTTP parse": 1,
      "held for the turn": 2,
      JSON: 2,
      validation: 1,
      "broker queueing": 2,
      "merge wait": 1,
      "storage call: this side": 3,
      "storage call: script": 0.25,
      "storage call: way and queue of Redis": 0.75,
      "HTTP answer": 1,
      "socket back": 1,
      GC: 0,
    });
    // From the end of the validation to the broker: nobody's.
    expect(totalMs - PARTS.reduce((sum, part) => sum + partsMs[part], 0)).toBe(1);
  });

  it("takes collections from the parts in which they happened, each once", () => {
    const { queued, written } = aTrace();
    const pauses = {
      caller: [[written, written + 0.5]],
      server: [
        [queued + 0.25, queued + 0.75],
        [written + 0.25, written + 0.5],
      ],
    } as const;

    const { partsMs } = splitOf(aTrace(), pauses, 0) ?? expect.fail("It was whole");

    expect(partsMs).toMatchObject({ "merge wait": 0.5, "socket back": 0.5, GC: 1 });
  });

  it("does not count what a process does with a claim that the other has already", () => {
    const { read, heard } = aTrace();
    const late = aTrace({ left: read + 0.5, written: heard + 0.5 });

    const { partsMs } = splitOf(late, NEVER, 0) ?? expect.fail("It was whole");

    expect(partsMs).toMatchObject({ client: 3, "socket there": 0, "HTTP answer": 2, "socket back": 0 });
  });

  it("gives no script more time than its round trip took", () => {
    const { partsMs } = splitOf(aTrace(), NEVER, 5) ?? expect.fail("It was whole");

    expect(partsMs).toMatchObject({ "storage call: script": 1, "storage call: way and queue of Redis": 0 });
  });

  it("leaves out a claim whose way is not whole", () => {
    expect(splitOf(aTrace({ replied: Number.NaN }), NEVER, 0)).toBeUndefined();
    expect(splitOf(aTrace({ ended: Number.NaN }), NEVER, 0)).toBeUndefined();
  });
});

describe("traces", () => {
  it("come through between processes as they are, and meet by the request's id", () => {
    const served = [aTrace(), aTrace({ id: "server-2" })];
    const asked = [aTrace({ id: "server-2", called: -1 }), aTrace({ id: "server-3" })];

    expect(unpack(pack(served))).toEqual(served);
    expect(joined(asked, served)).toEqual([{ ...served[1], called: -1 }]);
  });
});
