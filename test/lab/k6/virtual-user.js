// One virtual user: a thread with the script's modules to itself, as in k6.
import { pathToFileURL } from "node:url";
import { MessageChannel, parentPort, receiveMessageOnPort, Worker, workerData } from "node:worker_threads";

const { script, id, standIn } = workerData;
const { enter } = await import(pathToFileURL(`${standIn}/here.js`).href);

const signal = new Int32Array(new SharedArrayBuffer(4));
const { port1, port2 } = new MessageChannel();
const exchanging = new Worker(new URL("exchange.js", import.meta.url), {
  workerData: { port: port2, signal },
  transferList: [port2],
});
await new Promise((resolve) => exchanging.once("message", resolve));

let phase = "init";
let samples = [];
const declared = [];

const user = {
  id,
  iteration: 0,
  scenario: { name: "" },
  progress: () => 0,
  declare(name, type, isTime) {
    if (phase !== "init") throw new Error(`The metric ${name} is made outside the init context`);
    declared.push({ name, type, isTime });
  },
  outsideInit(what) {
    if (phase === "init") throw new Error(`${what} in the init context`);
  },
  emit: (name, value, tags = {}) => samples.push([name, value, tags]),
  exchange(request) {
    port1.postMessage(request);
    // A notification can come late, when the answer before was found without having waited for it.
    while (Atomics.load(signal, 0) === 0) Atomics.wait(signal, 0, 0);
    Atomics.store(signal, 0, 0);
    return receiveMessageOnPort(port1).message;
  },
};
enter(user);
globalThis.__ENV = { ...process.env };
globalThis.__VU = id;
globalThis.__ITER = 0;

const exported = await import(pathToFileURL(script).href);
phase = "run";
parentPort.postMessage({ options: exported.options, declared, handlesSummary: "handleSummary" in exported });

const verbs = {
  setup: () => exported.setup?.(),
  teardown: ({ data }) => exported.teardown?.(data),
  summary: ({ data }) => exported.handleSummary(data),
  iterate: (order) => iterate(order),
};

parentPort.on("message", (order) => {
  try {
    const value = verbs[order.verb](order);
    parentPort.postMessage({
      value: value === undefined ? null : JSON.parse(JSON.stringify(value)),
      samples,
    });
  } catch (error) {
    parentPort.postMessage({ error: String(error?.message ?? error), samples });
  }
  samples = [];
});

/** All that one user does in a scenario. */
function iterate({ name, scenario, startedAt, data, next }) {
  user.scenario = { name };
  Object.assign(globalThis.__ENV, scenario.env);
  const turns = { "constant-vus": byTime, "shared-iterations": byCount, "constant-arrival-rate": byRate };
  for (const turn of turns[scenario.executor]({ scenario, startedAt, next })) {
    user.progress = turn;
    runOnce(exported[scenario.exec ?? "default"], data);
    globalThis.__ITER += 1;
  }
}

function runOnce(run, data) {
  user.iteration += 1;
  const startedAt = performance.now();
  try {
    run(data);
  } catch (error) {
    process.stderr.write(`level=error msg=${JSON.stringify(String(error?.stack ?? error))}\n`);
    user.emit("iteration_errors", 1);
  }
  user.emit("iterations", 1);
  user.emit("iteration_duration", performance.now() - startedAt);
}

/** Each turn is what tells the progress of its scenario. */
function* byTime({ scenario, startedAt }) {
  const progress = () => Math.min(1, (Date.now() - startedAt) / scenario.durationMs);
  while (progress() < 1) yield progress;
}

function* byCount({ scenario, next }) {
  for (let turn = Atomics.add(next, 0, 1); turn < scenario.iterations; turn = Atomics.add(next, 0, 1))
    yield () => Math.min(1, turn / scenario.iterations);
}

/** A turn that has no free user is late here; k6 would drop it. */
function* byRate({ scenario, startedAt, next }) {
  const everyMs = 1000 / scenario.rate;
  const still = new Int32Array(new SharedArrayBuffer(4));
  for (
    let turn = Atomics.add(next, 0, 1);
    turn * everyMs < scenario.durationMs;
    turn = Atomics.add(next, 0, 1)
  ) {
    const waitMs = startedAt + turn * everyMs - Date.now();
    if (waitMs > 0) Atomics.wait(still, 0, 0, waitMs);
    yield () => Math.min(1, (turn * everyMs) / scenario.durationMs);
  }
}
