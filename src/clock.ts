/** The source of time of an engine: whole epoch milliseconds that never go back. */
export interface Clock {
  now(): number;
}

export interface SteadyClockSources {
  /** The wall clock, epoch milliseconds. */
  wall(): number;
  /** A clock that only runs forward, milliseconds. */
  monotonic(): number;
}

const SYSTEM: SteadyClockSources = { wall: () => Date.now(), monotonic: () => performance.now() };

/** How fast the steady clock may run towards a wall clock that jumped: twice, or half, real time. */
const FASTEST = 2;
const SLOWEST = 0.5;
/** Differences below this are the ordinary rounding of the two clocks. */
const TOLERANCE_MS = 2;

/**
 * Follows the wall clock without ever jumping or going back.
 *
 * When an administrator or NTP moves the wall clock by an hour, leases must not all expire at once, nor
 * last an hour longer. So the steady clock runs at most twice as fast, or half as fast, as real time until
 * both agree. A worker heartbeats at a third of its lease, so at twice the speed it still comes in time.
 */
export function steadyClock(sources: SteadyClockSources = SYSTEM): Clock {
  let lastMonotonic = sources.monotonic();
  let time = sources.wall();
  return {
    now() {
      const monotonic = sources.monotonic();
      const elapsed = monotonic - lastMonotonic;
      lastMonotonic = monotonic;
      const behind = sources.wall() - (time + elapsed);
      if (Math.abs(behind) <= TOLERANCE_MS) time += elapsed;
      else time += Math.min(elapsed * FASTEST, Math.max(elapsed * SLOWEST, elapsed + behind));
      return Math.floor(time);
    },
  };
}

/** A clock that moves only when told, on top of a fixed start; for tests. */
export class ManualClock implements Clock {
  #now: number;

  constructor(start = 1_764_000_000_000) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  /** Moves time forward by `ms`, 0 or more. */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`Expected ms to be 0 or more, got ${ms}`);
    this.#now += ms;
  }
}
