/**
 * The clock of all measurements: nanoseconds since the process started, from the system's monotonic clock.
 *
 * A double keeps whole nanoseconds for 104 days. `process.hrtime.bigint()` costs the same 40 ns but gives
 * BigInts, which allocate and cannot go into a histogram.
 */
export function nowNs(): number {
  return performance.now() * 1e6;
}

/** What one reading of the clock adds to every duration, nanoseconds: the median of `samples` empty durations. */
export function clockCostNs(samples = 10_001): number {
  const durations = new Float64Array(samples);
  for (let i = 0; i < samples; i += 1) {
    const startedAt = nowNs();
    durations[i] = nowNs() - startedAt;
  }
  return durations.sort()[samples >> 1] ?? 0;
}
