// A web app with its worker in the same process: no server, no service, one folder.
//
//   node web-app.js ./data 3000
//   curl -si 127.0.0.1:3000/texts --data 'to be or not to be'      answers 202 with a Location at once
//   curl -s 127.0.0.1:3000/texts/<id>?waitMs=5000                  gives the word counts when they are there
//
// A folder belongs to one process at a time. With several processes, run `dibs serve` and connect all to its URL:
// nothing else in this file changes.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { connect, DibsError, defineTask, type TaskContext } from "dibs";

type Counts = Record<string, number>;

const countWords = defineTask<{ text: string }, Counts>({ queue: "texts" });
const BODY_BYTES_MAX = 100_000;
const WAIT_MS_MAX = 30_000;

function wordsIn({ task }: TaskContext<{ text: string }>): Counts {
  const counts = new Map<string, number>();
  for (const word of task.payload.text.toLowerCase().match(/\p{Letter}+/gu) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

const [, , folder = "./data", port = "3000"] = process.argv;
const dibs = await connect(folder);
// After a crash, what was in hand comes back when its lease ends: a short one, because the work is short.
const worker = dibs.work(countWords, wordsIn, { concurrency: 2, leaseMs: 5_000 });
worker.on("failed", ({ task, error, state }) => console.error(`${task.id} is ${state}:`, error));

const app = createServer((request, response) => {
  route(request, response).catch((error: unknown) => fail(response, error));
});

async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const id = /^\/texts\/([^/]+)$/.exec(url.pathname)?.[1];
  if (request.method === "POST" && url.pathname === "/texts") return accept(request, response);
  if (request.method === "GET" && id !== undefined) return show(decodeURIComponent(id), url, response);
  return answer(response, 404, { error: "Not found" });
}

/** Answers as soon as the task is safe on disk; the work comes after. */
async function accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const text = await bodyOf(request);
  if (text === undefined) return answer(response, 413, { error: `More than ${BODY_BYTES_MAX} bytes` });
  // A caller that got no answer sends the same again with its key, and there is still one task.
  const key = request.headers["idempotency-key"];
  const options = typeof key === "string" ? { idempotencyKey: key } : {};
  const task = await dibs.enqueue(countWords, { text }, options);
  response.setHeader("Location", `/texts/${encodeURIComponent(task.id)}`);
  return answer(response, 202, { id: task.id, state: task.state });
}

async function show(id: string, url: URL, response: ServerResponse): Promise<void> {
  const asked = Number(url.searchParams.get("waitMs")) || 0;
  const timeoutMs = Math.min(Math.max(asked, 0), WAIT_MS_MAX);
  try {
    return answer(response, 200, await dibs.waitForResult(id, { timeoutMs }));
  } catch (error) {
    if (!(error instanceof DibsError) || error.code !== "timeout") throw error;
    return answer(response, 202, { id, state: (await dibs.task(id)).state });
  }
}

function fail(response: ServerResponse, error: unknown): void {
  if (!(error instanceof DibsError)) console.error(error);
  const code = error instanceof DibsError ? error.code : "internal_error";
  const statuses: Record<string, number> = {
    task_not_found: 404,
    invalid_request: 400,
    idempotency_conflict: 409,
    wrong_state: 409,
    queue_full: 503,
    storage_unavailable: 503,
  };
  answer(response, statuses[code] ?? 500, { error: (error as Error).message });
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

/** The whole body; undefined when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  return bytes > BODY_BYTES_MAX ? undefined : Buffer.concat(chunks).toString();
}

// First no new requests, then no new tasks; the tasks in hand are finished, the rest waits in the folder.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    app.close(() => void dibs.close());
    app.closeIdleConnections();
  });
}

app.listen(Number(port), "127.0.0.1", () => {
  console.log(`Listening on http://127.0.0.1:${(app.address() as AddressInfo).port}, tasks in ${dibs.place}`);
});
