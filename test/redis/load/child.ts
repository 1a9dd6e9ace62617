import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { compiled } from "./compiled.ts";
import type { Plan } from "./participants.ts";
import type { Place } from "./place.ts";

const PROGRAM = fileURLToPath(new URL("process.mjs", import.meta.url));

/** What a process of participants tells of itself. */
export interface Told {
  readonly enqueued: number;
  readonly settled: number;
  readonly strange: readonly string[];
}

/** Participants in a process of their own, to be killed or stopped at any moment. */
export class Child {
  readonly #process: ChildProcess;
  readonly #lines: Interface;
  #answers: ((line: string | undefined) => void)[] = [];

  private constructor(child: ChildProcess) {
    this.#process = child;
    this.#lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    this.#lines.on("line", (line) => this.#answers.shift()?.(line));
    child.once("exit", () => {
      for (const answer of this.#answers.splice(0)) answer(undefined);
    });
    child.stdin?.on("error", () => {}); // It was killed.
  }

  /** Resolves when its participants have begun. */
  static async start(place: Place, plans: readonly Plan[], file: string): Promise<Child> {
    await compiled();
    const argument = JSON.stringify({ place, plans, file });
    const child = new Child(
      spawn(process.execPath, [PROGRAM, argument], { stdio: ["pipe", "pipe", "inherit"] }),
    );
    if ((await child.#answer()) === undefined) throw new Error(`${plans[0]?.name} ended at its start`);
    return child;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  send(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, "exit");
    if (!this.isRunning) return;
    this.send("SIGKILL");
    await ended;
  }

  /** Sets its wall clock off by so much. */
  setClock(offMs: number): Promise<Told | undefined> {
    return this.#ask(`clock ${offMs}`);
  }

  tell(): Promise<Told | undefined> {
    return this.#ask("tell");
  }

  stopProducing(): Promise<Told | undefined> {
    return this.#ask("stop-producing");
  }

  /** Undefined when it has ended before. */
  stop(): Promise<Told | undefined> {
    return this.#ask("stop");
  }

  async #ask(command: string): Promise<Told | undefined> {
    if (!this.isRunning) return undefined;
    this.#process.stdin?.write(`${command}\n`);
    const line = await this.#answer();
    return line === undefined ? undefined : (JSON.parse(line) as Told);
  }

  #answer(): Promise<string | undefined> {
    if (!this.isRunning) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#answers.push(resolve));
  }
}
