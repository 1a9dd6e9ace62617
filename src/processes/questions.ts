import type { MetricsPart } from "../broker/peers.ts";
import type { Question, ToProcess } from "./messages.ts";
import { MetricsMemory } from "./metrics-memory.ts";

/** One that stands still for longer is answered for, as far as it can be. */
const PATIENCE_MS = 1_000;

/** A process that can be asked. */
export interface Asked {
  /** Unlike a pid it never comes again. */
  readonly id: number;
  send(message: ToProcess): void;
}

interface Gathering {
  readonly kind: Question["kind"];
  readonly answers: Map<number, unknown>;
  readonly open: Set<number>;
  readonly done: () => void;
}

/** Passes the question of one process on to all others, and their answers back. */
export class Questions {
  readonly #memory = new MetricsMemory();
  readonly #gatherings = new Map<number, Gathering>();
  #last = 0;

  /** What the others answer, each in its time or not at all; for metrics also what ended ones had counted. */
  async ask(from: number, question: Question, others: readonly Asked[]): Promise<readonly unknown[]> {
    if (question.kind !== "metrics") return [...(await this.#gather(question, others)).values()];
    if (question.own !== undefined) this.#memory.heard(from, question.own);
    const answers = await this.#gather({ kind: "metrics" }, others);
    const silent = others.filter(({ id }) => !answers.has(id)).map(({ id }) => this.#memory.lastOf(id));
    return [...answers.values(), ...silent, this.#memory.endedPart];
  }

  answered(from: number, asked: number, answer: unknown): void {
    const gathering = this.#gatherings.get(asked);
    if (gathering === undefined) return;
    gathering.answers.set(from, answer);
    if (gathering.kind === "metrics") this.#memory.heard(from, answer as MetricsPart);
    this.#settle(gathering, from);
  }

  /** Nobody waits for the answer of a process that has ended. */
  ended(id: number): void {
    this.#memory.ended(id);
    for (const gathering of this.#gatherings.values()) {
      // It counts among those that have ended now.
      gathering.answers.delete(id);
      this.#settle(gathering, id);
    }
  }

  #settle({ open, done }: Gathering, id: number): void {
    open.delete(id);
    if (open.size === 0) done();
  }

  #gather(question: Question, others: readonly Asked[]): Promise<ReadonlyMap<number, unknown>> {
    this.#last += 1;
    const asked = this.#last;
    const answers = new Map<number, unknown>();
    if (others.length === 0) return Promise.resolve(answers);
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(patience);
        this.#gatherings.delete(asked);
        resolve(answers);
      };
      const patience = setTimeout(done, PATIENCE_MS);
      this.#gatherings.set(asked, {
        kind: question.kind,
        answers,
        open: new Set(others.map(({ id }) => id)),
        done,
      });
      for (const other of others) other.send({ dibs: "question", asked, question });
    });
  }
}
