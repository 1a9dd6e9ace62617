import type { ClaimedTaskMessage } from "../../protocol/messages.ts";
import type { OutcomeItem } from "../../sdk/connection.ts";
import { IdTape } from "../id-tape.ts";

/** Tasks that were claimed and are completed later: kept where the collections that are measured do not see them. */
export class HeldTasks {
  readonly #ids = new IdTape();
  readonly #tokens = new IdTape();
  #reading: Iterator<readonly [string, string]> | undefined;
  #taken = 0;

  push(tasks: readonly ClaimedTaskMessage[]): void {
    for (const { id, lease } of tasks) {
      this.#ids.push(id);
      this.#tokens.push(tokenOf(lease));
    }
  }

  /** Those that were not yet taken by `next`. */
  get left(): number {
    return this.#ids.length - this.#taken;
  }

  /** What completes the next `size` of them, or as many as there are. Nothing may be added any more. */
  next(size: number): OutcomeItem[] {
    this.#reading ??= pairs(this.#ids, this.#tokens);
    const outcomes: OutcomeItem[] = [];
    while (outcomes.length < size && this.left > 0) {
      const [id, leaseToken] = this.#reading.next().value as readonly [string, string];
      this.#taken += 1;
      outcomes.push({ id, leaseToken, outcome: "complete" });
    }
    return outcomes;
  }
}

function* pairs(ids: Iterable<string>, tokens: Iterable<string>): Generator<readonly [string, string]> {
  const others = tokens[Symbol.iterator]();
  for (const id of ids) yield [id, others.next().value as string];
}

export function completionOf({ id, lease }: ClaimedTaskMessage): OutcomeItem {
  return { id, leaseToken: tokenOf(lease), outcome: "complete" };
}

function tokenOf({ token }: ClaimedTaskMessage["lease"]): string {
  if (token === undefined) throw new Error("A claimed task came without its token");
  return token;
}
