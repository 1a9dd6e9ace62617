/**
 * A moment on the machine's own monotonic clock, milliseconds with a fraction: the same for all of its processes,
 * and no change of the wall clock touches it.
 */
export type Moment = number;

export function moment(): Moment {
  return Number(process.hrtime.bigint()) / 1e6;
}
