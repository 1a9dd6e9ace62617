/** From `performance.now()` to the system's monotonic clock, which is the same in all processes of a machine. */
const OFFSET_MS = offsetMs();

/** Milliseconds of the system's monotonic clock: moments of two processes can be compared. */
export function sharedNow(): number {
  return performance.now() + OFFSET_MS;
}

/** A moment of `performance.now()` on the shared clock. */
export function onSharedClock(ms: number): number {
  return ms + OFFSET_MS;
}

/** The two clocks are read one after the other: of several readings the closest pair is nearest to the truth. */
function offsetMs(): number {
  let best = { apart: Number.POSITIVE_INFINITY, offset: 0 };
  for (let n = 0; n < 100; n += 1) {
    const before = performance.now();
    const shared = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    if (after - before < best.apart) best = { apart: after - before, offset: shared - (before + after) / 2 };
  }
  return best.offset;
}
