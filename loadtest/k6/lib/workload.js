import { sleep } from "k6";
import { claim, complete } from "./dibs.js";
import { waitMs, whole } from "./settings.js";
import { sliceThresholds } from "./summary.js";

/**
 * Enqueues at a rate, whether the server keeps up or not. Runs what the script exports as `produce`.
 *
 * @param {number} rate A second.
 * @param {string} duration
 * @param {number} [perUser] Enqueues a second that one virtual user is thought to do.
 * @returns {import("k6/options").ConstantArrivalRateScenario}
 */
export function producer(rate, duration, perUser = 20) {
  const preAllocatedVUs = whole("PRODUCER_PREALLOC_VUS", Math.max(20, Math.ceil(rate / perUser)), { min: 1 });
  const maxVUs = whole("PRODUCER_MAX_VUS", 2 * preAllocatedVUs, { min: preAllocatedVUs });
  return {
    executor: "constant-arrival-rate",
    exec: "produce",
    rate,
    timeUnit: "1s",
    duration,
    preAllocatedVUs,
    maxVUs,
  };
}

/**
 * Claims and completes, one task after the other. Runs what the script exports as `work`.
 *
 * @param {number} vus
 * @param {string} duration
 * @returns {import("k6/options").ConstantVUsScenario}
 */
export const workers = (vus, duration) => ({ executor: "constant-vus", exec: "work", vus, duration });

/** Of the whole run, at most one request in a hundred may fail, of each kind; and something was done at all. */
export const workThresholds = {
  tasks_enqueued: ["count>0"],
  tasks_claimed: ["count>0"],
  tasks_completed: ["count>0"],
  "http_req_failed{endpoint:enqueue}": ["rate<0.01"],
  "http_req_failed{endpoint:claim}": ["rate<0.01"],
  "http_req_failed{endpoint:complete}": ["rate<0.01"],
  ...sliceThresholds,
};

/**
 * The bounds of the claim. There are none for claims that wait for a task: they are as long as the wait.
 *
 * @returns {Record<string, string[]>}
 */
export function claimThresholds() {
  const p50Ms = whole("CLAIM_P50_MS", 20, { min: 1 });
  const p99Ms = whole("CLAIM_P99_MS", 100, { min: 1 });
  return waitMs === 0 ? { claim_duration: [`p(50)<${p50Ms}`, `p(99)<${p99Ms}`] } : {};
}

/**
 * A worker's turn; when nothing is ready it pauses.
 *
 * @param {string} queue
 * @param {{ pauseMs?: number, onClaimed?: (task: import("./dibs.js").Claimed) => void }} [options]
 */
export function workOn(queue, { pauseMs = 50, onClaimed = () => {} } = {}) {
  const task = claim(queue);
  if (task === undefined) {
    if (waitMs === 0) sleep(pauseMs / 1000);
    return;
  }
  onClaimed(task);
  complete(task);
}
