import type { Connection } from "../../storage/redis/link/connection.ts";
import type { Reply } from "../../storage/redis/link/reply-parser.ts";
import { type Finding, graded, shown } from "./finding.ts";
import type { RedisServers } from "./redis-servers.ts";

const SAMPLES = 8;

/** How far a server's clock is ahead of this machine's, and how far off that may be, milliseconds. */
export interface ClockOffset {
  readonly offsetMs: number;
  /** Half the round trip of the quickest question. */
  readonly errorMs: number;
}

/**
 * Compares a server's clock with ours: the quickest of some answers to TIME, taken for the middle of its round trip.
 * Source: D. Mills, RFC 5905 (NTP), section 8.
 */
export async function clockOffset(servers: RedisServers, connection: Connection): Promise<ClockOffset> {
  let best: ClockOffset = { offsetMs: 0, errorMs: Number.POSITIVE_INFINITY };
  for (let n = 0; n < SAMPLES; n += 1) {
    const startedAt = performance.now();
    const reply = (await servers.ask(connection, "TIME")) as Reply[];
    const endedAt = performance.now();
    const [seconds, micros] = reply;
    const errorMs = (endedAt - startedAt) / 2;
    // Kept apart from the wall clock until the end, so that a step of it in between does not count.
    const middle = performance.timeOrigin + (startedAt + endedAt) / 2;
    if (errorMs < best.errorMs)
      best = { offsetMs: Number(seconds) * 1_000 + Number(micros) / 1_000 - middle, errorMs };
  }
  // performance.now() drifts from a wall clock that is set: what counts is what Date says.
  const drift = performance.timeOrigin + performance.now() - Date.now();
  return { ...best, offsetMs: best.offsetMs + drift };
}

export const SKEW_S = { yellow: 1, red: 60 } as const;
export const SKEW_ADVICE =
  "Leases are safe (their time is the store's), but a runAt that is computed here is off by as much: keep clocks with NTP, or use delayMs";

/** The clock of this machine against the store's. */
export function skewFinding(where: string, { offsetMs, errorMs }: ClockOffset): Finding {
  return graded({
    check: "clock skew",
    where,
    value: Math.abs(offsetMs) / 1_000,
    unit: "s",
    ...SKEW_S,
    figure: `${signed(offsetMs)} against this machine, ± ${shown(errorMs, "ms")}`,
    advice: SKEW_ADVICE,
  });
}

/**
 * The clocks of a master and of its replica. Fences are microseconds of the master's clock: after a failover they would
 * go back when the replica's is behind by more than the failover took, which is never less than a second.
 */
export function replicaClockFinding(where: string, master: ClockOffset, replica: ClockOffset): Finding {
  const difference = replica.offsetMs - master.offsetMs;
  return graded({
    check: "clock of the replica",
    where,
    value: Math.abs(difference),
    unit: "ms",
    yellow: 100,
    red: 1_000,
    figure: `${signed(difference)} against its master, ± ${shown(master.errorMs + replica.errorMs, "ms")}`,
    advice:
      "After a failover fences could go back, and a stale worker's be taken for the newer: keep the clocks of all servers with NTP",
  });
}

function signed(ms: number): string {
  return `${ms < 0 ? "−" : "+"}${shown(Math.abs(ms), "ms")}`;
}
