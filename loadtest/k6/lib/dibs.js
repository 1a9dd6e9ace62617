import exec from "k6/execution";
import http from "k6/http";
import { Counter, Trend } from "k6/metrics";
import { leaseMs, token, url, waitMs } from "./settings.js";

/**
 * @typedef {{ token: string, claimedAt: number }} Lease
 * @typedef {{ id: string, priority: number, payload: any, attempt: number, createdAt: number, runAt: number, lease: Lease }} Claimed
 */

/** Into so many parts a run is cut, so that its own spread can be seen. */
export const SLICES = 10;

// Time on the wire of calls that did what they were for: sending, waiting and receiving, without connecting.
const claimDuration = new Trend("claim_duration", true);
const emptyClaimDuration = new Trend("claim_empty_duration", true);
const enqueueDuration = new Trend("enqueue_duration", true);
const completeDuration = new Trend("complete_duration", true);

const enqueued = new Counter("tasks_enqueued");
const claimed = new Counter("tasks_claimed");
const completed = new Counter("tasks_completed");
const reclaimed = new Counter("tasks_reclaimed");
const emptyClaims = new Counter("claims_empty");

/** Begins every count at zero, so that a threshold on one is judged even when nothing happened. */
export function countFromZero() {
  for (const count of [enqueued, claimed, completed, reclaimed, emptyClaims]) count.add(0);
}

const headers = {
  "Content-Type": "application/json",
  ...(token === "" ? {} : { Authorization: `Bearer ${token}` }),
};

/**
 * One request. `name` stands for the address in k6's own metrics: there each address is a series of its own, and
 * each task has one.
 *
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path
 * @param {object | null} body
 * @param {string} endpoint
 * @param {string} [name]
 */
export function ask(method, path, body, endpoint, name = path) {
  return http.request(method, url + path, body === null ? null : JSON.stringify(body), {
    headers,
    tags: { endpoint, name: `${method} ${name}` },
    timeout: `${waitMs + 60000}ms`,
  });
}

/**
 * @param {string} queue
 * @param {object} [fields] Of the task, beside its queue.
 * @returns {boolean} Whether it was accepted.
 */
export function enqueue(queue, fields = {}) {
  const answer = ask("POST", "/v1/tasks", { queue, ...fields }, "enqueue");
  if (answer.status !== 201) return false;
  enqueueDuration.add(answer.timings.duration);
  enqueued.add(1);
  return true;
}

/**
 * @param {string} queue
 * @returns {Claimed | undefined} Nothing when nothing was ready, or when the claim failed.
 */
export function claim(queue) {
  const wanted = { queues: [queue], leaseMs, waitMs, worker: `k6-${exec.vu.idInTest}` };
  const answer = ask("POST", "/v1/claims", wanted, "claim");
  if (answer.status === 204) {
    emptyClaimDuration.add(answer.timings.duration);
    emptyClaims.add(1);
  }
  if (answer.status !== 200) return undefined;
  const slice = { slice: String(Math.min(SLICES - 1, Math.floor(exec.scenario.progress * SLICES))) };
  claimDuration.add(answer.timings.duration, slice);
  claimed.add(1, slice);
  const { tasks } = /** @type {{ tasks: Claimed[] }} */ (/** @type {unknown} */ (answer.json()));
  const task = /** @type {Claimed} */ (tasks[0]);
  if (task.attempt > 1) reclaimed.add(1);
  return task;
}

/**
 * @param {Claimed} task
 * @returns {boolean} Whether it counted: false when the lease was lost.
 */
export function complete({ id, lease }) {
  const path = `/v1/tasks/${id}/complete`;
  const answer = ask("POST", path, { leaseToken: lease.token }, "complete", "/v1/tasks/{id}/complete");
  if (answer.status !== 200) return false;
  completeDuration.add(answer.timings.duration);
  completed.add(1);
  return true;
}
