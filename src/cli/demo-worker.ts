import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import type { Digest } from "./demo/own-pass.ts";
import { wordOf } from "./demo/own-pass.ts";
import { type FromWorker, LEASE_MS, labelOf, type ToWorker, WORKER_CONCURRENCY } from "./demo/workers.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** A worker process of `dibs demo`, started by it: size and SHA-256 of the file that a task names. */
interface DemoWorkerFlags extends SessionFlags {
  readonly queue: string;
  readonly name: string;
}

/** Completions are reported so often, together: a message each would cost more than the hashing of a small file. */
const REPORT_EVERY_MS = 20;

export function addDemoWorker(dibs: Command): void {
  dibs
    .command("demo-worker", { hidden: true })
    .requiredOption("--url <address>")
    .requiredOption("--queue <queue>")
    .requiredOption("--name <name>")
    .action((flags: DemoWorkerFlags) =>
      perform(flags, (session) => demoWorker(session, flags), { graceful: true }),
    );
}

async function demoWorker(session: Session, { queue, name }: DemoWorkerFlags): Promise<ExitCode> {
  const { Worker } = await import("../sdk/worker.ts");
  const { defineTask } = await import("../sdk/definition.ts");
  const label = labelOf(name, process.pid);
  const handler = defineTask<{ path: string }>({ queue }).handler(async ({ task }) => ({
    ...(await digest(task.payload.path)),
    worker: label,
  }));
  const worker = new Worker(await session.connection(), [handler], {
    concurrency: WORKER_CONCURRENCY,
    leaseMs: LEASE_MS,
    worker: label,
  });
  const report = new Report();
  worker.on("completed", ({ task }) => report.add(task.id));
  worker.on("error", (error) => session.output.warn(`${label}: ${error.message}`));
  worker.start();
  report.send({ kind: "ready" });
  await toldToStop(session.signal);
  await worker.close();
  await report.end();
  return EXIT.done;
}

async function digest(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  let size = 0;
  try {
    await pipeline(createReadStream(path), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        size += chunk.length;
        hash.update(chunk);
      }
    });
  } catch (error) {
    return { error: wordOf(error) };
  }
  return { size, sha256: hash.digest("hex") };
}

/** By the demo, by a signal, or because the demo is gone: a worker does not outlive it. */
function toldToStop(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    process.on("message", (message: ToWorker) => {
      if (message.kind === "stop") resolve();
    });
    process.once("disconnect", () => process.exit(EXIT.failed));
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

class Report {
  #ids: string[] = [];
  #timer: NodeJS.Timeout | undefined;

  add(id: string): void {
    this.#ids.push(id);
    this.#timer ??= setTimeout(() => this.#flush(), REPORT_EVERY_MS);
  }

  send(message: FromWorker): Promise<void> {
    return new Promise((resolve) => {
      process.send?.(message, undefined, {}, () => resolve());
    });
  }

  async end(): Promise<void> {
    await this.#flush();
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const ids = this.#ids;
    this.#ids = [];
    if (ids.length > 0) await this.send({ kind: "completed", ids });
  }
}
