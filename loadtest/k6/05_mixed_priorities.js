// Tasks of three priorities: how long each waits, and whether the order is kept while the server is under load.
import { Rate, Trend } from "k6/metrics";
import { claim, complete, enqueue } from "./lib/dibs.js";
import { begin, end } from "./lib/lifecycle.js";
import { duration, text, whole } from "./lib/settings.js";
import { partsOf, summarize, trendStats } from "./lib/summary.js";
import { producer, workers, workOn, workThresholds } from "./lib/workload.js";

const HIGH = 9;
const MEDIUM = 5;
const LOW = 0;

const queue = text("QUEUE", "k6-mixed-priorities");
/** Of one virtual user alone, who therefore knows what must come next. */
const orderQueue = `${queue}-order`;
const rate = whole("RATE", 1000, { min: 1 });
const length = duration("DURATION", "5m");
const workerVus = whole("WORKER_VUS", 200, { min: 1 });
const highPct = whole("HIGH_PCT", 50, { max: 100 });
const medPct = whole("MED_PCT", 30, { max: 100 });
const lowPct = whole("LOW_PCT", 20, { max: 100 });
if (highPct + medPct + lowPct !== 100)
  throw new Error(`Expected HIGH_PCT + MED_PCT + LOW_PCT to be 100, got ${highPct + medPct + lowPct}`);

const wait = new Trend("queue_wait", true);
const ordered = new Rate("claims_in_order");

export const options = {
  scenarios: {
    producer: producer(rate, length),
    workers: workers(workerVus, length),
    order: { executor: "constant-vus", exec: "checkOrder", vus: 1, duration: length },
  },
  summaryTrendStats: trendStats,
  thresholds: {
    ...workThresholds,
    ...partsOf("queue_wait", "priority", [HIGH, MEDIUM, LOW]),
    claims_in_order: ["rate==1"],
  },
};

export const setup = () => {
  begin(orderQueue);
  return begin(queue);
};

export const produce = () => enqueue(queue, { priority: drawPriority(), payload: { sentAt: Date.now() } });

function drawPriority() {
  const draw = Math.random() * 100;
  if (draw < highPct) return HIGH;
  return draw < highPct + medPct ? MEDIUM : LOW;
}

export const work = () => workOn(queue, { onClaimed: tellWait });

/** Both instants are the server's. */
function tellWait(/** @type {import("./lib/dibs.js").Claimed} */ { priority, createdAt, lease }) {
  wait.add(lease.claimedAt - createdAt, { priority: String(priority) });
}

/** Thirty tasks of all priorities come back highest first, and first in first out within one. */
export function checkOrder() {
  const sent = Array.from({ length: 30 }, (_, place) => ({ place, priority: drawPriority() }));
  const accepted = sent.filter(({ place, priority }) => enqueue(orderQueue, { priority, payload: place }));
  const due = [...accepted].sort((a, b) => b.priority - a.priority || a.place - b.place);
  for (const { place } of due) {
    const task = claim(orderQueue);
    ordered.add(task?.payload === place);
    if (task !== undefined) complete(task);
  }
}

/** @param {import("./lib/lifecycle.js").Run} run */
export const teardown = (run) => {
  end(run);
  end({ ...run, queue: orderQueue });
};

/** @param {import("./lib/summary.js").Data} data */
export const handleSummary = (data) => summarize("mixed-priorities", data);
