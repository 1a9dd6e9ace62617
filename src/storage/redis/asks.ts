import type { QueueName, TaskId } from "../../task/ids.ts";
import type { ClaimedTask } from "../../task/task.ts";
import type { ClaimAsk, ClaimReply } from "../storage.ts";
import { claimedTaskOf, firstClaimOf } from "./record.ts";

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

/**
 * What the claim script answers, and settle with two values of its own in between: now, more, and what was granted, in
 * one of two forms; see `scripts/claim.lua`.
 */
export type GrantReply = readonly [now: number, more: number, ...granted: unknown[]];

/** Deals what a script leased to `asks`. What was granted stands from place `at` of the reply on. */
export function claimReplyOf(
  queue: QueueName,
  asks: readonly ClaimAsk[],
  nonce: number,
  reply: readonly [now: number, more: number, ...unknown[]],
  at = 2,
): ClaimReply {
  const more = reply[1] === 1;
  if (asks.length === 0) return { grants: [], more };
  const [now] = reply;
  const fence = reply[at] as number;
  const leaseMs = Number(reply[at + 1]);
  const first = reply[at + 2];
  if (typeof first === "string") {
    const record = reply[at + 3] as string;
    const state = reply[at + 4] as string | undefined;
    const { worker } = asks[0] as ClaimAsk;
    const task =
      state === undefined
        ? firstClaimOf(queue, first, record, { fence, nonce, claimedAt: now, ms: leaseMs, worker })
        : claimedTaskOf(queue, first, record, state, reply[at + 5] as string);
    return { grants: [[task]], more };
  }
  let item = at + 2 + asks.length;
  let past = item;
  for (let i = 0; i < asks.length; i += 1) past += 2 * (reply[at + 2 + i] as number);
  let place = 0;
  const grants = asks.map(({ leaseMs: ms = leaseMs, worker }, i) => {
    const grant: ClaimedTask[] = [];
    for (let left = reply[at + 2 + i] as number; left > 0; left -= 1, item += 2, place += 1) {
      const id = reply[item] as string;
      const record = reply[item + 1] as string;
      if (reply[past] === place) {
        grant.push(claimedTaskOf(queue, id, record, reply[past + 1] as string, reply[past + 2] as string));
        past += 3;
      } else if (record !== "") {
        // A tombstone whose task is gone leaves its place empty.
        grant.push(
          firstClaimOf(queue, id, record, { fence: fence + place, nonce, claimedAt: now, ms, worker }),
        );
      }
    }
    return grant;
  });
  return { grants, more };
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
