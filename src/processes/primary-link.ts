import type { MetricsPart, OwnFigures, Peers, QueueFigures } from "../broker/peers.ts";
import type { QueueName } from "../task/ids.ts";
import type { Question, Served, StartFailure, ToPrimary, ToProcess } from "./messages.ts";

/** Longer than the primary waits for the others. */
const PATIENCE_MS = 3_000;

/** What a serving process has of the primary that started it: its orders, and through it the other processes. */
export class PrimaryLink implements Peers {
  /** Resolves when the primary wants this process to drain and end. */
  readonly drain: Promise<NodeJS.Signals>;
  readonly #asking = new Map<number, (answers: readonly unknown[]) => void>();
  #asks = 0;
  #figures: OwnFigures | undefined;

  constructor() {
    this.drain = new Promise((resolve) => {
      process.on("message", (message: ToProcess) => {
        if (message.dibs === "drain") resolve(message.signal);
        else if (message.dibs === "question") void this.#answer(message.asked, message.question);
        else if (message.dibs === "answers") this.#asking.get(message.ask)?.(message.answers);
      });
    });
  }

  /** From now on the others may ask. */
  ready(served: Served, figures: OwnFigures): void {
    this.#figures = figures;
    tell({ dibs: "ready", served });
  }

  /** Resolves when the primary has been told, so that this process may end. */
  failed(failure: StartFailure): Promise<void> {
    return new Promise((resolve) => {
      if (process.send === undefined) resolve();
      else process.send({ dibs: "failed", failure } satisfies ToPrimary, undefined, {}, () => resolve());
    });
  }

  queue(queue: QueueName): Promise<readonly QueueFigures[]> {
    return this.#ask({ kind: "queue", queue }) as Promise<readonly QueueFigures[]>;
  }

  waiting(): Promise<readonly Readonly<Record<string, number>>[]> {
    return this.#ask({ kind: "waiting" }) as Promise<readonly Readonly<Record<string, number>>[]>;
  }

  metrics(own: MetricsPart): Promise<readonly MetricsPart[]> {
    return this.#ask({ kind: "metrics", own }) as Promise<readonly MetricsPart[]>;
  }

  #ask(question: Question): Promise<readonly unknown[]> {
    this.#asks += 1;
    const ask = this.#asks;
    return new Promise((resolve) => {
      const answered = (answers: readonly unknown[]) => {
        clearTimeout(patience);
        this.#asking.delete(ask);
        resolve(answers);
      };
      // Without a primary this process is about to end.
      const patience = setTimeout(() => answered([]), PATIENCE_MS);
      this.#asking.set(ask, answered);
      tell({ dibs: "ask", ask, question });
    });
  }

  async #answer(asked: number, question: Question): Promise<void> {
    const figures = this.#figures;
    if (figures === undefined) return;
    tell({ dibs: "answer", asked, answer: await answerTo(question, figures) });
  }
}

function answerTo(question: Question, figures: OwnFigures): unknown {
  if (question.kind === "queue") return figures.queue(question.queue);
  return question.kind === "waiting" ? figures.waiting() : figures.metrics();
}

/** A primary that has just gone takes this process along; it need not be told any more. */
function tell(message: ToPrimary): void {
  process.send?.(message, undefined, {}, () => {});
}
