import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("writer.mjs", import.meta.url));

/** What a writer found when it opened the folder. */
export interface Found {
  readonly tasks: Readonly<Record<string, readonly [state: string, result: string, payload: string]>>;
  readonly counts: Readonly<Record<string, number>> | undefined;
  /** Number of the oldest segment. */
  readonly oldest: number;
}

/** What writers said that the engine had answered, over all their lives. */
export class Told {
  readonly enqueued = new Set<string>();
  /** Its result is the fence of its claim. */
  readonly completed = new Map<string, number>();
  readonly goes = new Set<string>();
  fence = 0;
  /** Sentences about fences that came back. */
  readonly faults: string[] = [];

  get answers(): number {
    return this.enqueued.size + this.completed.size + this.goes.size;
  }

  /** What has been said until now. */
  clone(): Told {
    const copy = new Told();
    for (const id of this.enqueued) copy.enqueued.add(id);
    for (const [id, fence] of this.completed) copy.completed.set(id, fence);
    for (const id of this.goes) copy.goes.add(id);
    return copy;
  }

  hear(line: string): void {
    const [what, id = "", fence = ""] = line.split(" ");
    if (what === "e") this.enqueued.add(id);
    else if (what === "c") this.goes.add(id);
    else if (what === "d") this.completed.set(id, Number(fence));
    else if (what === "f") this.#claimed(Number(fence));
  }

  /** What contradicts that a later opening found this. */
  contradictions(found: Found): string[] {
    const faults = [...this.faults];
    for (const id of this.enqueued)
      if (found.tasks[id] === undefined && !this.goes.has(id)) faults.push(`${id} is lost`);
    for (const [id, fence] of this.completed) {
      const [state, result] = found.tasks[id] ?? [];
      if (state !== "completed" || result !== String(fence))
        faults.push(`${id} was completed with ${fence}, and is ${state} with ${result}`);
    }
    for (const [id, [, , payload]] of Object.entries(found.tasks))
      if ((JSON.parse(payload) as { id: string }).id !== id) faults.push(`${id} has another's payload`);
    return [...faults, ...countsFit(found)];
  }

  #claimed(fence: number): void {
    if (fence <= this.fence) this.faults.push(`fence ${fence} was given out after ${this.fence}`);
    this.fence = fence;
  }
}

function countsFit({ tasks, counts = {} }: Found): string[] {
  const recount: Record<string, number> = {};
  for (const [state] of Object.values(tasks)) recount[state] = (recount[state] ?? 0) + 1;
  return Object.entries(counts)
    .filter(([state, count]) => count !== (recount[state] ?? 0))
    .map(([state, count]) => `counts ${count} ${state} tasks, ${recount[state] ?? 0} are listed`);
}

/** A process that works on a folder until it is killed. */
export class WriterProcess {
  readonly #child: ChildProcess;
  readonly found: Promise<Found>;
  /** What it found against what had been said before. */
  contradictions: readonly string[] = [];
  readonly #closed: Promise<unknown>;
  #errors = "";

  constructor(folder: string, told: Told) {
    this.#child = spawn(process.execPath, [PROGRAM, folder], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#errors += chunk;
    });
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    this.#closed = Promise.all([once(lines, "close"), once(this.#child, "exit")]);
    this.found = new Promise((resolve, reject) => {
      lines.on("line", (line) => {
        if (!line.startsWith("found ")) return told.hear(line);
        const found = JSON.parse(line.slice("found ".length)) as Found;
        // At once: the next lines tell of what came after.
        this.contradictions = told.contradictions(found);
        resolve(found);
      });
      void this.#closed.then(() => reject(new Error(`The writer ended: ${this.#errors}`)));
    });
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** SIGKILL; resolves when all that it said has been heard. @throws when it had ended by itself. */
  async kill(): Promise<void> {
    if (!this.isRunning) throw new Error(`The writer ended: ${this.#errors}`);
    this.#child.kill("SIGKILL");
    await this.#closed;
  }

  /** Ends it in any case; for the end of a test. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}
