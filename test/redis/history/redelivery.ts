import type { Hold, Stories } from "./story.ts";

/** How late, milliseconds, each task was claimed again whose lease ended by time alone. Ascending. */
export function redeliveries({ tasks }: Stories): number[] {
  const late: number[] = [];
  for (const { holds, moves } of tasks.values()) {
    if (moves.length > 0) continue;
    for (const [at, next] of holds.slice(1).entries()) {
      const hold = holds[at] as Hold;
      const isPlain = !hold.isLost && next.grant.attempt === hold.grant.attempt + 1;
      const isEnded = hold.endings.some(({ verdict }) => verdict !== "refused");
      if (!isPlain || isEnded) continue;
      const ends = [hold.grant.expiresAt, ...hold.beats.map(({ expiresAt }) => expiresAt ?? 0)];
      late.push(next.grant.claimedAt - Math.max(...ends));
    }
  }
  return late.sort((a, b) => a - b);
}

/** The value that a share of them does not exceed; 0 when there is none. */
export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.max(0, Math.ceil(ascending.length * share) - 1)] ?? 0;
}
