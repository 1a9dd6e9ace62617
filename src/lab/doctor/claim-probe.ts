import type { Storage } from "../../storage/storage.ts";
import { newTaskId, type QueueName } from "../../task/ids.ts";
import { nowNs } from "../nano-clock.ts";
import { spreadOf } from "../statistics.ts";
import { type Finding, graded, shown } from "./finding.ts";

/** Enough for a median that one hiccup does not move. */
const WARM = 21;

export interface ClaimTimes {
  readonly firstMs: number;
  /** Median of those after it. */
  readonly warmMs: number;
}

/** Makes the tasks that {@link timeStorageClaims} claims. */
export async function enqueueForClaims(storage: Storage, queue: QueueName): Promise<void> {
  await storage.enqueue(
    queue,
    Array.from({ length: 1 + WARM }, () => ({ id: newTaskId(queue), payload: "null" })),
  );
}

/** Claims one task after the other in a queue of the doctor's own, and completes each. */
export function timeStorageClaims(storage: Storage, queue: QueueName): Promise<ClaimTimes> {
  return timeClaims(async () => {
    const startedAt = nowNs();
    const { grants } = await storage.claim(queue, [{ max: 1 }]);
    const durationNs = nowNs() - startedAt;
    const [task] = grants[0] ?? [];
    if (task === undefined) throw new Error("A claim found none of the tasks that were just enqueued");
    await storage.settle(queue, [{ outcome: "complete", id: task.id, token: task.lease.token }]);
    return durationNs;
  });
}

/** `claim` makes one claim and returns how long it took, nanoseconds. */
export async function timeClaims(claim: () => Promise<number>): Promise<ClaimTimes> {
  const first = await claim();
  const warm: number[] = [];
  for (let n = 0; n < WARM; n += 1) warm.push(await claim());
  return { firstMs: first / 1e6, warmMs: spreadOf(warm).median / 1e6 };
}

/** Bounds: those of a claim over HTTP and, in red, of the success metrics (P50 20 ms, P99 100 ms). */
const WARM_MS = { yellow: 2, red: 20 } as const;
const FIRST_MS = { yellow: 20, red: 100 } as const;

/** `what` says what was claimed, such as "empty claims". */
export function claimFindings(where: string, what: string, { firstMs, warmMs }: ClaimTimes): Finding[] {
  return [
    graded({
      check: "first claim",
      where,
      value: firstMs,
      unit: "ms",
      ...FIRST_MS,
      figure: `${shown(firstMs, "ms")}, ${factor(firstMs / warmMs)} a warm one`,
      advice:
        "The first claim of a process pays for something that a start should have paid for: keep processes running, and let them claim only once they are ready (/readyz)",
    }),
    graded({
      check: "warm claim",
      where,
      value: warmMs,
      unit: "ms",
      ...WARM_MS,
      figure: `${shown(warmMs, "ms")}, the median of ${WARM} ${what}`,
      advice:
        "Compare it with the round trip: where that is long too it is the network, else the server is busy or its disk slow (appendfsync always, durability power)",
    }),
  ];
}

function factor(times: number): string {
  return `${times.toFixed(times < 10 ? 1 : 0)} ×`;
}
