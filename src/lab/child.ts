import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a child process offers: functions of one argument that copies well. */
export type Duties = Readonly<Record<string, (argument: never) => unknown>>;

interface Call {
  readonly id: number;
  readonly duty: string;
  readonly argument: unknown;
}
type Reply = { readonly answer: unknown } | { readonly error: string };
type Message = (Reply & { readonly id: number }) | { readonly news: unknown };

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

export interface ChildOptions {
  /** Flags of Node itself. Default: those of this process. */
  readonly execArgv?: readonly string[];
  /** Told what the process says between its answers, by {@link tellParent}. */
  readonly onNews?: (news: unknown) => void;
}

/** A process of its own for what is measured, so that the measuring one neither slows it nor shares its heap. */
export class Child<D extends Duties> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;

  private constructor(process: ChildProcess, onNews: (news: unknown) => void) {
    this.#process = process;
    process.on("message", (message: Message) => {
      if ("news" in message) onNews(message.news);
      else this.#waitingFor(message.id)?.resolve(message);
    });
    process.on("exit", (code, signal) => {
      const error = new Error(`The process ended (${signal ?? code})`);
      for (const id of this.#waiting.keys()) this.#waitingFor(id)?.reject(error);
    });
    // A process that has ended cannot be told anything; the call that tries hears of the end.
    process.on("error", () => {});
  }

  /** Starts a compiled script that answers by {@link serveDuties}. It ends with this process. */
  static start<D extends Duties>(script: URL, options: ChildOptions = {}): Child<D> {
    const { execArgv = process.execArgv, onNews = () => {} } = options;
    const child = fork(fileURLToPath(script), {
      serialization: "advanced",
      stdio: ["ignore", 2, 2, "ipc"],
      execArgv: [...execArgv],
    });
    return new Child<D>(child, onNews);
  }

  /** @throws {Error} when the duty fails or the process ends. */
  async call<K extends keyof D & string>(
    duty: K,
    ...[argument]: Parameters<D[K]>
  ): Promise<Awaited<ReturnType<D[K]>>> {
    if (this.#hasEnded()) throw new Error(`The process has ended and cannot do "${duty}"`);
    this.#calls += 1;
    const id = this.#calls;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, duty, argument } satisfies Call);
    });
    if ("error" in reply) throw new Error(`"${duty}" failed in its process: ${reply.error}`);
    return reply.answer as Awaited<ReturnType<D[K]>>;
  }

  /** Lets the process end by itself. */
  async end(): Promise<void> {
    if (this.#hasEnded()) return;
    const ended = once(this.#process, "exit");
    if (this.#process.connected) this.#process.disconnect();
    await ended;
  }

  /** Ends it as a power cut of the process would. */
  async kill(): Promise<void> {
    if (this.#hasEnded()) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }

  #waitingFor(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}

/** The other side: answers the parent's calls until it lets go, then ends the process. */
export function serveDuties(duties: Duties): void {
  process.on("message", async ({ id, duty, argument }: Call) => {
    process.send?.({ id, ...(await replyTo(duties, duty, argument)) });
  });
  process.on("disconnect", () => process.exit());
  // Ctrl-C reaches the whole group of processes; how this one ends is the parent's to say.
  process.on("SIGINT", () => {});
}

/** Says something to the parent between answers. */
export function tellParent(news: unknown): void {
  process.send?.({ news });
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
