/** The arrows of the state diagram: every way in which a task comes, moves and goes. */
export const ARROWS = [
  "enqueue → ready",
  "enqueue → scheduled",
  "scheduled → ready (promote)",
  "ready → leased (claim)",
  "leased → completed",
  "leased → scheduled (nack)",
  "leased → ready (nack)",
  "leased → dead (nack)",
  "leased → dead (refuse)",
  "leased → ready (release)",
  "leased → dead (release 101)",
  "leased → ready (forced release)",
  "leased → ready (expired)",
  "leased → dead (expired)",
  "scheduled → cancelled",
  "ready → cancelled",
  "leased → cancelled",
  "dead → ready (requeue)",
  "cancelled → ready (requeue)",
  "scheduled → ready (requeue)",
  "completed → pruned",
  "dead → pruned",
  "cancelled → pruned",
  "scheduled → purged",
  "ready → purged",
  "completed → purged",
  "dead → purged",
  "cancelled → purged",
] as const;
export type Arrow = (typeof ARROWS)[number];

/** How often each arrow was taken over all runs. */
export class ArrowCounts {
  readonly #counts: Map<Arrow, number>;

  /** `elsewhere`: arrows that these runs need not take. */
  constructor(elsewhere: readonly Arrow[] = []) {
    this.#counts = new Map(ARROWS.filter((arrow) => !elsewhere.includes(arrow)).map((arrow) => [arrow, 0]));
  }

  take(arrow: Arrow): void {
    const count = this.#counts.get(arrow);
    if (count !== undefined) this.#counts.set(arrow, count + 1);
  }

  /** Arrows that were taken fewer than `times` times, with their counts. */
  rarerThan(times: number): readonly (readonly [Arrow, number])[] {
    return [...this.#counts].filter(([, count]) => count < times);
  }
}
