// A typed worker: it computes size and SHA-256 of files.
//
// Start a server (`npm start`), compile this file with tsc or run it with a Node that strips types, and enqueue:
//   node worker.js http://127.0.0.1:4510
//   npx dibs enqueue digests '{"path":"/etc/hosts"}'
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pathToFileURL } from "node:url";
import { connect, defineTask, Refuse, RetryLater, type TaskContext } from "dibs";

/** Producers import this too: `dibs.enqueue(digest, { path })` and `waitForResult` are typed by it. */
export const digest = defineTask<{ path: string }, { bytes: number; sha256: string }>({
  queue: "digests",
  maxAttempts: 8,
  backoff: { baseMs: 500 },
});

/** What is returned is the task's result; what is thrown ends the attempt, to be tried again after the backoff. */
async function computeDigest({ task, signal }: TaskContext<{ path: string }>) {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    // The signal aborts when the lease is lost, the task is cancelled or the worker closes: then reading stops,
    // because somebody else may have the task by now.
    for await (const chunk of createReadStream(task.payload.path, { signal })) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A retry would not help: to the dead letters at once, with the reason.
    if (code === "ENOENT") throw new Refuse(`there is no ${task.payload.path}`);
    // Too many open files here and now: not the backoff, but a wait of our own.
    if (code === "EMFILE") throw new RetryLater(5_000);
    throw error;
  }
  return { bytes, sha256: hash.digest("hex") };
}

async function main(place: string): Promise<void> {
  const token = process.env["DIBS_TOKEN"];
  const dibs = await connect(place, token === undefined ? {} : { token });
  const worker = dibs.work(digest, computeDigest, { concurrency: 4 });

  worker.on("completed", ({ task, ranMs }) => console.log(`${task.id} completed in ${ranMs} ms`));
  worker.on("failed", ({ task, error, state }) => console.error(`${task.id} is ${state}:`, error));
  worker.on("lease-lost", ({ task, reason }) => console.error(`${task.id} lost: ${reason.message}`));
  // The worker reconnects for ever; this only says so.
  worker.on("error", (error) => console.error(error.message));

  // Takes no new task, finishes those in hand (30 s at most), hands back the rest, and so lets the process end.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void dibs.close());
  console.log(`Working on ${digest.queue} at ${dibs.place}`);
}

// Only when run, not when a producer imports the definition.
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(process.argv[2] ?? "http://127.0.0.1:4510");
}
