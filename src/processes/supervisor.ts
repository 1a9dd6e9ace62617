import cluster, { type Worker as Child } from "node:cluster";
import type { Served, StartFailure, ToPrimary, ToProcess } from "./messages.ts";
import { type Asked, Questions } from "./questions.ts";
import { Restarts } from "./restarts.ts";

/** Longer than a server and its broker take to drain. */
const DRAIN_MS = 25_000;

export interface SupervisorOptions {
  /** How many processes serve. */
  readonly processes: number;
  /** The command line of each, without the program. */
  readonly args: readonly string[];
  /** Told what an operator should know: that a process ended, that another serves. */
  readonly onNews: (level: "info" | "error", text: string, about: { readonly process: number }) => void;
}

/** A process cannot begin to serve, and neither could another one. */
export class ProcessFailed extends Error {
  readonly failure: StartFailure;

  constructor(failure: StartFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

interface Serving extends Asked {
  readonly child: Child;
  readonly startedAt: number;
  readonly served: Promise<Served>;
  isReady: boolean;
}

/**
 * Starts the processes of a server that share its port, keeps their number, and ends them. They end by themselves
 * when this process does, however it ends.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #serving = new Map<number, Serving>();
  readonly #questions = new Questions();
  readonly #restarts = new Restarts();
  readonly #waiting = new Set<NodeJS.Timeout>();
  #isStarted = false;
  #draining: NodeJS.Signals | undefined;
  #allEnded: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    cluster.setupPrimary({ args: [...options.args] });
  }

  /** Of the processes that are there now. */
  get pids(): readonly number[] {
    return [...this.#serving.values()].map(({ child }) => child.process.pid as number);
  }

  /**
   * Starts all: the first alone, so that what is wrong for all is found once.
   * @throws {ProcessFailed} when one cannot begin to serve; then none is left.
   */
  async start(): Promise<Served> {
    try {
      const served = await this.#fork().served;
      if (this.#draining !== undefined) return served;
      const others = Array.from({ length: this.#options.processes - 1 }, () => this.#fork());
      await Promise.all(others.map((other) => other.served));
      this.#isStarted = true;
      return served;
    } catch (error) {
      if (this.#draining === undefined) this.#killAll();
      await this.#ended();
      throw error;
    }
  }

  /** Lets all finish what they do, and end; those that take too long are killed. */
  async drain(signal: NodeJS.Signals): Promise<void> {
    this.#draining = signal;
    for (const timer of this.#waiting) clearTimeout(timer);
    for (const each of this.#serving.values()) each.send({ dibs: "drain", signal });
    const patience = setTimeout(() => this.#killAll(), DRAIN_MS);
    await this.#ended();
    clearTimeout(patience);
  }

  #fork(): Serving {
    const child = cluster.fork();
    const begun = beginning();
    const serving: Serving = {
      id: child.id,
      child,
      startedAt: performance.now(),
      served: begun.promise,
      isReady: false,
      send: (message: ToProcess) => {
        // One that has just ended is told of by its exit.
        if (child.isConnected()) child.send(message, () => {});
      },
    };
    this.#serving.set(child.id, serving);
    child.on("message", (message: ToPrimary) => this.#heard(serving, message, begun));
    child.on("error", () => {}); // Its channel broke: its exit follows.
    child.once("exit", (code, signal) => {
      const how = signal ?? `exit code ${code}`;
      begun.reject(new ProcessFailed(failureOf(child, how)));
      this.#lost(serving, how);
    });
    return serving;
  }

  #heard(serving: Serving, message: ToPrimary, begun: Beginning): void {
    if (message.dibs === "ready") {
      serving.isReady = true;
      begun.resolve(message.served);
      this.#news("info", `Process ${serving.child.process.pid} serves`, serving);
    } else if (message.dibs === "failed") {
      begun.reject(new ProcessFailed(message.failure));
      if (this.#isStarted) this.#news("error", message.failure.message, serving);
    } else if (message.dibs === "answer") {
      this.#questions.answered(serving.id, message.asked, message.answer);
    } else if (message.dibs === "ask") {
      const others = [...this.#serving.values()].filter((each) => each.isReady && each !== serving);
      void this.#questions
        .ask(serving.id, message.question, others)
        .then((answers) => serving.send({ dibs: "answers", ask: message.ask, answers }));
    }
  }

  #lost(serving: Serving, how: string): void {
    this.#serving.delete(serving.id);
    this.#questions.ended(serving.id);
    if (this.#serving.size === 0) this.#allEnded?.();
    if (!this.#isStarted || this.#draining !== undefined) return;
    const waitMs = this.#restarts.waitMs(performance.now() - serving.startedAt);
    const text = `Process ${serving.child.process.pid} ended (${how}); another takes its place in ${waitMs} ms`;
    this.#news("error", text, serving);
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      this.#fork();
    }, waitMs);
    this.#waiting.add(timer);
  }

  #killAll(): void {
    for (const { child } of this.#serving.values()) child.process.kill("SIGKILL");
  }

  #ended(): Promise<void> {
    if (this.#serving.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#allEnded = resolve;
    });
  }

  #news(level: "info" | "error", text: string, { child }: Serving): void {
    this.#options.onNews(level, text, { process: child.process.pid as number });
  }
}

interface Beginning {
  readonly promise: Promise<Served>;
  readonly resolve: (served: Served) => void;
  readonly reject: (error: ProcessFailed) => void;
}

function beginning(): Beginning {
  let resolve: Beginning["resolve"] = () => {};
  let reject: Beginning["reject"] = () => {};
  const promise = new Promise<Served>((onServed, onFailed) => {
    resolve = onServed;
    reject = onFailed;
  });
  // Looked at by `start` only.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

function failureOf(child: Child, how: string): StartFailure {
  const message = `Process ${child.process.pid} ended before it could serve (${how})`;
  return { message, report: { error: { code: "failed", message } }, code: 1 };
}
