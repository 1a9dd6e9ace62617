import { fail } from "k6";
import { Counter, Gauge } from "k6/metrics";
import { ask, countFromZero } from "./dibs.js";
import { takesOver, url } from "./settings.js";

/**
 * @typedef {{ queue: string, startedAt: number, dibs: string }} Run
 * @typedef {{ scheduled: number, ready: number, leased: number }} Counts
 */

const left = new Counter("tasks_left");
const seconds = new Gauge("load_seconds");

/**
 * Before the load: the server answers, and the queue holds nobody's work.
 *
 * @param {string} queue
 * @param {boolean} [claims] False for a script that only enqueues, and so cannot do harm to what is there.
 * @returns {Run}
 */
export function begin(queue, claims = true) {
  countFromZero();
  left.add(0);
  const dibs = versionOfServer();
  const unfinished = sumOf(countsOf(queue));
  if (claims && unfinished > 0 && !takesOver)
    fail(
      `Queue ${queue} at ${url} holds ${unfinished} unfinished tasks, which this run would claim and complete. ` +
        "Set QUEUE to another one, or TAKE_OVER=1 if they may go.",
    );
  return { queue, startedAt: Date.now(), dibs };
}

/** The OpenAPI document has it, and asks for a token where tasks do. */
function versionOfServer() {
  const answer = ask("GET", "/openapi.json", null, "setup");
  if (answer.status === 0)
    fail(`No answer from ${url}: ${answer.error}. Set DIBS_URL to where the server is.`);
  if (answer.status === 401) fail(`The server at ${url} wants a token that it knows: set DIBS_TOKEN.`);
  const { info } = /** @type {{ info?: { version?: string } }} */ (
    answer.status === 200 ? answer.json() : {}
  );
  if (info?.version === undefined) fail(`Expected a Dibs server at ${url}, got status ${answer.status}`);
  return /** @type {string} */ (info?.version);
}

/**
 * What is in the queue; a queue that nobody has named yet holds nothing.
 *
 * @param {string} queue
 * @returns {Counts}
 */
function countsOf(queue) {
  const answer = ask("GET", `/v1/queues/${queue}`, null, "setup", "/v1/queues/{queue}");
  if (answer.status === 404) return { scheduled: 0, ready: 0, leased: 0 };
  if (answer.status !== 200) fail(`Cannot read queue ${queue} at ${url}: ${answer.status} ${answer.body}`);
  return /** @type {{ counts: Counts }} */ (/** @type {unknown} */ (answer.json())).counts;
}

/** @param {Counts} counts */
const sumOf = ({ scheduled, ready, leased }) => scheduled + ready + leased;

/**
 * After the load: counts what nobody finished, and leaves an empty queue behind.
 *
 * @param {Run} run
 * @param {{ keeps?: boolean }} [options]
 */
export function end({ queue, startedAt }, { keeps = takesOver } = {}) {
  seconds.add((Date.now() - startedAt) / 1000);
  left.add(sumOf(countsOf(queue)));
  if (!keeps) empty(queue);
}

/** @param {string} queue */
export function empty(queue) {
  cancelLeased(queue);
  for (const state of ["ready", "scheduled", "completed", "cancelled", "dead"])
    ask("DELETE", `/v1/queues/${queue}/tasks?state=${state}`, null, "teardown", "/v1/queues/{queue}/tasks");
}

/** Leased tasks cannot be deleted: their workers were stopped in the middle. */
function cancelLeased(/** @type {string} */ queue) {
  const list = ask("GET", `/v1/queues/${queue}/tasks?state=leased&limit=200`, null, "teardown");
  if (list.status !== 200) return;
  const { tasks } = /** @type {{ tasks: { id: string }[] }} */ (/** @type {unknown} */ (list.json()));
  for (const { id } of tasks) ask("POST", `/v1/tasks/${id}/cancel`, {}, "teardown", "/v1/tasks/{id}/cancel");
  if (tasks.length === 200) cancelLeased(queue);
}
