import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { CommandFailed } from "../exit.ts";

/** What a worker process of the demo tells the demo, and hears from it. */
export type FromWorker =
  | { readonly kind: "ready" }
  /** Ids of tasks whose completion was acknowledged. */
  | { readonly kind: "completed"; readonly ids: readonly string[] };
export type ToWorker = { readonly kind: "stop" };

/** Tasks that one worker process holds at a time. */
export const WORKER_CONCURRENCY = 16;
/** Short, so that the tasks of the killed worker come back while the demo runs. */
export const LEASE_MS = 3_000;

const MAIN = fileURLToPath(new URL("../main.js", import.meta.url));

/** One worker of the demo: a process of its own that talks HTTP like any other. */
export class DemoWorker {
  readonly label: string;
  readonly completed: string[] = [];
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #isStopping = false;

  constructor(url: string, queue: string, name: string) {
    const args = [MAIN, "demo-worker", "--url", url, "--queue", queue, "--name", name];
    this.#child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.label = labelOf(name, this.#child.pid as number);
    this.ready = this.#becomesReady();
    // Waited for later; until then a failure must not end the process.
    this.ready.catch(() => {});
    this.ended = once(this.#child, "exit").then(() => {});
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** True when it ended although nobody told it to. */
  get hasFailed(): boolean {
    return !this.isRunning && !this.#isStopping;
  }

  /** Lets it stand still: it holds what it holds. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#isStopping = true;
    if (this.isRunning) this.#child.kill("SIGKILL");
    await this.ended;
  }

  /** Finishes what it holds, reports it, and ends. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.connected) this.#child.send({ kind: "stop" } satisfies ToWorker);
    await this.ended;
  }

  #becomesReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#child.on("message", (message: FromWorker) => {
        if (message.kind === "ready") resolve();
        else this.completed.push(...message.ids);
      });
      this.#child.once("error", reject);
      this.#child.once("exit", () =>
        reject(new CommandFailed(`Worker ${this.label} ended before it was ready`)),
      );
    });
  }
}

export function labelOf(name: string, pid: number): string {
  return `${name}-${pid}`;
}
