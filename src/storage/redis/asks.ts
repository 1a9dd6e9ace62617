import type { QueueName, TaskId } from "../../task/ids.ts";
import type { ClaimedTask } from "../../task/task.ts";
import type { ClaimAsk, ClaimReply } from "../storage.ts";
import { claimedTaskOf } from "./record.ts";

/** Writes asks as runs of equal ones: claims that were merged mostly ask for the same. */
export function pushAsks(args: (string | number)[], asks: readonly ClaimAsk[]): void {
  let at = 0;
  while (at < asks.length) {
    const ask = asks[at] as ClaimAsk;
    const first = at;
    at += 1;
    while (at < asks.length && isSame(ask, asks[at] as ClaimAsk)) at += 1;
    args.push(`${at - first},${ask.max},${ask.leaseMs ?? ""},${ask.bytesMax ?? ""},${ask.worker ?? ""}`);
  }
}

function isSame(a: ClaimAsk, b: ClaimAsk): boolean {
  return (
    a === b ||
    (a.max === b.max && a.leaseMs === b.leaseMs && a.bytesMax === b.bytesMax && a.worker === b.worker)
  );
}

/** What the claim script answers. */
export type GrantReply = [now: number, more: number, counts: number[], items: string[]];

/** Deals what a script leased: `counts` for each ask, and id, record, state, failures of each task. */
export function claimReplyOf(
  queue: QueueName,
  counts: readonly number[],
  items: readonly string[],
  more: number,
): ClaimReply {
  let at = 0;
  const grants = counts.map((count) => {
    const grant: ClaimedTask[] = [];
    for (let i = 0; i < count; i += 1, at += 4) {
      const record = items[at + 1] as string;
      // A tombstone whose task is gone leaves its place empty.
      if (record !== "") {
        grant.push(
          claimedTaskOf(queue, items[at] as string, record, items[at + 2] as string, items[at + 3] as string),
        );
      }
    }
    return grant;
  });
  return { grants, more: more === 1 };
}

/** The part of an id that stands in the keys of its queue. An id of another queue finds nothing there. */
export function memberOf(queue: QueueName, id: TaskId): string {
  const { length } = queue;
  return id.length === length + 17 && id.startsWith(queue) && id.charCodeAt(length) === 0x7e
    ? id.slice(length + 1)
    : NOBODY;
}

/** No random part of an id: it is one character too long. */
const NOBODY = "-----------------";
