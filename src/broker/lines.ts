import type { QueueName } from "../task/ids.ts";
import { Line, type LineSurroundings } from "./line.ts";

/** With so many lines those that hold nothing are dropped; then again at twice of what was left. */
const SWEEP_FROM = 1_000;

/** The lines of all queues that were asked for lately. Names that nobody uses do not fill the memory. */
export class Lines {
  readonly #around: LineSurroundings;
  readonly #lines = new Map<QueueName, Line>();
  #sweepAt = SWEEP_FROM;

  constructor(around: LineSurroundings) {
    this.#around = around;
  }

  of(queue: QueueName): Line {
    return this.#lines.get(queue) ?? this.#open(queue);
  }

  /** The line of a queue, when there is one. */
  existing(queue: QueueName): Line | undefined {
    return this.#lines.get(queue);
  }

  all(): Iterable<Line> {
    return this.#lines.values();
  }

  #open(queue: QueueName): Line {
    if (this.#lines.size >= this.#sweepAt) this.#sweep();
    const line = new Line(queue, this.#around);
    this.#lines.set(queue, line);
    return line;
  }

  #sweep(): void {
    const now = performance.now();
    for (const [queue, line] of this.#lines) if (line.isIdle(now)) this.#lines.delete(queue);
    this.#sweepAt = Math.max(SWEEP_FROM, this.#lines.size * 2);
  }
}
