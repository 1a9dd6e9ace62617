import { fail } from "k6";
import { Counter, Gauge } from "k6/metrics";
import { ask, countFromZero } from "./dibs.js";
import { takesOver, url } from "./settings.js";

/**
 * @typedef {{ queue: string, startedAt: number, protocol: string }} Run
 * @typedef {{ scheduled: number, ready: number, leased: number, dead: number }} Counts
 */

const left = new Counter("tasks_left");
const seconds = new Gauge("load_seconds");

/**
 * A queue that is ours by its name is emptied before and after a run. Of others only what a run enqueued is
 * touched, and all that is ready while it claims.
 *
 * @param {string} queue
 */
const isOurs = (queue) => queue.startsWith("k6-");

/**
 * Before the load: the server answers, and the queue holds nobody's work.
 *
 * @param {string} queue
 * @param {{ claims?: boolean }} [options] `claims` is false for a script that only enqueues, and so harms nothing.
 * @returns {Run}
 */
export function begin(queue, { claims = true } = {}) {
  countFromZero();
  left.add(0);
  const protocol = protocolOfServer();
  const counts = countsOf(queue);
  const unfinished = unfinishedOf(counts);
  if (claims && unfinished > 0 && !takesOver)
    fail(
      `Queue ${queue} at ${url} holds ${unfinished} unfinished tasks, which this run would claim and complete. ` +
        "Set QUEUE to another one, or TAKE_OVER=1 if they may go.",
    );
  if (isOurs(queue) && counts !== NONE) deleteTasks(queue, "completed", "cancelled", "dead");
  return { queue, startedAt: Date.now(), protocol };
}

/** Its OpenAPI document has it, and asks for a token where tasks do. */
function protocolOfServer() {
  const answer = ask("GET", "/openapi.json", null, "setup");
  if (answer.status === 0)
    fail(`No answer from ${url} (${answer.error}). Set DIBS_URL to where the server is.`);
  if (answer.status === 401) fail(`The server at ${url} wants a token that it knows: set DIBS_TOKEN.`);
  if (answer.status !== 200) fail(`Expected a Dibs server at ${url}, got status ${answer.status}`);
  return /** @type {{ info: { version: string } }} */ (/** @type {unknown} */ (answer.json())).info.version;
}

const NONE = { scheduled: 0, ready: 0, leased: 0, dead: 0 };

/**
 * What is in the queue; one that nobody has named yet holds nothing.
 *
 * @param {string} queue
 * @returns {Counts}
 */
function countsOf(queue) {
  const answer = ask("GET", "/v1/queues", null, "setup");
  if (answer.status !== 200) fail(`Cannot read the queues at ${url}: ${answer.status} ${answer.body}`);
  const { queues } = /** @type {{ queues: { queue: string, counts: Counts }[] }} */ (
    /** @type {unknown} */ (answer.json())
  );
  const found = queues.find((each) => each.queue === queue);
  return found?.counts ?? NONE;
}

/** @param {Counts} counts */
const unfinishedOf = ({ scheduled, ready, leased }) => scheduled + ready + leased;

/**
 * After the load: counts what was not completed, and leaves our own queue empty.
 *
 * @param {Run} run
 * @param {{ keeps?: boolean }} [options] `keeps`: what is not finished stays.
 */
export function end({ queue, startedAt }, { keeps = takesOver } = {}) {
  seconds.add((Date.now() - startedAt) / 1000);
  const counts = countsOf(queue);
  left.add(unfinishedOf(counts) + (isOurs(queue) ? counts.dead : 0));
  if (isOurs(queue) && !keeps) empty(queue);
}

/** @param {string} queue */
function empty(queue) {
  cancelLeased(queue);
  deleteTasks(queue, "ready", "scheduled", "completed", "cancelled", "dead");
}

/**
 * @param {string} queue
 * @param {string[]} states
 */
function deleteTasks(queue, ...states) {
  for (const state of states)
    ask("DELETE", `/v1/queues/${queue}/tasks?state=${state}`, null, "teardown", "/v1/queues/{queue}/tasks");
}

/**
 * Leased tasks cannot be deleted: their virtual users were stopped in the middle.
 *
 * @param {string} queue
 */
function cancelLeased(queue) {
  const list = ask("GET", `/v1/queues/${queue}/tasks?state=leased&limit=200`, null, "teardown");
  if (list.status !== 200) return;
  const { tasks } = /** @type {{ tasks: { id: string }[] }} */ (/** @type {unknown} */ (list.json()));
  for (const { id } of tasks) ask("POST", `/v1/tasks/${id}/cancel`, {}, "teardown", "/v1/tasks/{id}/cancel");
  if (tasks.length === 200) cancelLeased(queue);
}
