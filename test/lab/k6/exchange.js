// Sends the requests of one virtual user, whose own thread stands still until the answer is here.
import { parentPort, workerData } from "node:worker_threads";

const { port, signal } = workerData;

port.on("message", async (request) => {
  port.postMessage(await answerTo(request));
  Atomics.store(signal, 0, 1);
  Atomics.notify(signal, 0);
});
parentPort.postMessage("ready");

async function answerTo({ method, url, body, headers, timeoutMs }) {
  const startedAt = performance.now();
  const answered = await fetch(url, { method, body, headers, signal: AbortSignal.timeout(timeoutMs) })
    .then(async (answer) => ({ status: answer.status, body: await answer.text(), error: "" }))
    .catch((error) => ({ status: 0, body: null, error: String(error.cause?.message ?? error) }));
  return { ...answered, duration: performance.now() - startedAt };
}
