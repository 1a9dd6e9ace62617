import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a child process offers: functions of one argument that copies well. */
export type Duties = Readonly<Record<string, (argument: never) => unknown>>;

interface Call {
  readonly duty: string;
  readonly argument: unknown;
}
type Reply = { readonly answer: unknown } | { readonly error: string };

/** A process of its own for what is measured, so that the measuring one neither slows it nor shares its heap. */
export class Child<D extends Duties> {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  /** Starts the compiled script next to this file; it answers by {@link serveDuties}. */
  static start<D extends Duties>(script: string): Child<D> {
    const path = fileURLToPath(new URL(script, import.meta.url));
    return new Child<D>(fork(path, { serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] }));
  }

  /** One call at a time. @throws {Error} when the duty fails or the process ends. */
  async call<K extends keyof D & string>(
    duty: K,
    ...[argument]: Parameters<D[K]>
  ): Promise<Awaited<ReturnType<D[K]>>> {
    const answered = new AbortController();
    const reply = once(this.#process, "message", { signal: answered.signal });
    const ended = once(this.#process, "exit", { signal: answered.signal }).then(([code, signal]) => {
      throw new Error(`The process ended (${signal ?? code}) before it answered "${duty}"`);
    });
    try {
      this.#process.send({ duty, argument } satisfies Call);
      const [message] = (await Promise.race([reply, ended])) as [Reply];
      if ("error" in message) throw new Error(`"${duty}" failed in its process: ${message.error}`);
      return message.answer as Awaited<ReturnType<D[K]>>;
    } finally {
      reply.catch(() => {});
      ended.catch(() => {});
      answered.abort();
    }
  }

  /** Lets the process end by itself. */
  async end(): Promise<void> {
    if (this.#hasEnded()) return;
    const ended = once(this.#process, "exit");
    this.#process.disconnect();
    await ended;
  }

  /** Ends it as a power cut of the process would. */
  async kill(): Promise<void> {
    if (this.#hasEnded()) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }

  #hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}

/** The other side: answers the parent's calls until it lets go, then ends the process. */
export function serveDuties(duties: Duties): void {
  process.on("message", async ({ duty, argument }: Call) => {
    process.send?.(await replyTo(duties, duty, argument));
  });
  process.on("disconnect", () => process.exit());
}

async function replyTo(duties: Duties, duty: string, argument: unknown): Promise<Reply> {
  try {
    const perform = duties[duty];
    if (perform === undefined) throw new Error(`There is no duty "${duty}"`);
    return { answer: await perform(argument as never) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
