import type { RouteName } from "./routes.ts";

/** What is to know of a route beyond its schemas, in Markdown; for its description and `docs/protocol.md`. */
export const ROUTE_NOTES: Readonly<Partial<Record<RouteName, string>>> = {
  enqueue:
    "The task is ready at once, or scheduled until its time. A time in the past is at once. When " +
    "`idempotencyKey` was seen in this queue within 24 hours, the answer is 200, the first task as it " +
    'is now and `"deduplicated": true`; its state is `pruned` when only the key is left. Payloads are ' +
    "the same when they are the same JSON value, whatever the order of names.",
  enqueueBatch:
    "A task that cannot be enqueued stands as `{error}` in its place and hinders no other. A field that " +
    "breaks a bound refuses the whole batch.",
  task: "A leased task shows its lease without the token.",
  result:
    "Answers as soon as the task is finished, at the latest after `waitMs` or when the server drains. " +
    "`result` is there when the worker gave one.",
  cancel:
    "A leased task ends at once: its holder's next heartbeat or settle gets `lease_lost` with " +
    "`details.state` `cancelled`. A finished task is `wrong_state`.",
  claim:
    "Higher priority first, first in first out within a priority. Each claim counts an attempt. Claims " +
    "that wait are served in order of arrival. A client that goes away while its claim waits loses " +
    "nothing: what was claimed for it in that instant is ready again, its attempt uncounted.",
  complete: "Again with the same token: the same answer, as long as the task is kept.",
  nack:
    "The task waits for its backoff (`scheduled`), is `ready` at once, or is `dead` after its last " +
    "attempt. `runAt` comes with `scheduled` only. Without `error` the failure is recorded with an " +
    "empty one and `lastError` stays.",
  release:
    "The task goes to the head of its priority, at most 100 times without counting the attempt; after " +
    "that it counts, and the last one ends the task (`dead`).",
  heartbeat:
    "`lease_lost` says in `details.state` where the task is when the lease expired, moved on or was " +
    "cancelled.",
  settle:
    "One round trip to the engine when all is in one queue. The outcomes are applied at once; with " +
    "`claim.waitMs` the answer waits for the claim. Tasks released in one call are claimed again in the " +
    "order given.",
  heartbeats: "For a worker that holds many tasks: one call for all of them.",
  queues: "`waiting` counts the claims that wait at a queue; one that waits at several counts in each.",
  queue:
    "`config` shows every value in force. `latency` is in milliseconds over the last minute, 0 when " +
    "nothing was measured: `claim` from the request of tasks to having them, `wait` from a task's " +
    "enqueue, or due time, to its claim.",
  configure:
    "`backoff` and `retention` are merged field by field. A change of retention applies to what is " +
    "already there.",
  pause: "Enqueues go on; claims give nothing until it is resumed. Leases that exist go on.",
  list:
    "`ready` in claim order, the others by time, earliest first. A task that stays in the state for the " +
    "whole listing is listed exactly once, while others come and go.",
  requeue:
    "Attempts and releases begin anew; `failures` and `lastError` stay. A ready, leased or completed " +
    "task is `wrong_state`.",
  purge: "In bounded steps; nothing else waits for it. Counted as pruned.",
  readyz: "503 with the reason when not.",
  openapi: "Takes a token also as the password that a browser asks for.",
  docs: "Takes a token also as the password that a browser asks for.",
};
