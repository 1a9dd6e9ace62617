import type { OperationKind, SimulatedDisk } from "../simulated-disk.ts";
import { type Play, segmentsGone } from "./run.ts";

/** What a test has tried, for its last words: a number that nobody looks at may as well be zero. */
export class Tally {
  runs = 0;
  operations = 0;
  injections = 0;
  /** Openings that refused, or found something to cut. */
  refused = 0;
  readonly byKind = new Map<OperationKind, number>();
  readonly had = { snapshots: 0, pruned: 0, cancelled: 0, released: 0 };

  addRun(play: Play, disk: SimulatedDisk): void {
    this.runs += 1;
    this.operations += disk.operations;
    if (segmentsGone(disk) > 0) this.had.snapshots += 1;
    const { pruned, cancelled, released } = play.workload.did;
    if (pruned > 0) this.had.pruned += 1;
    if (cancelled > 0) this.had.cancelled += 1;
    if (released > 0) this.had.released += 1;
  }

  addInjection(kind: OperationKind): void {
    this.injections += 1;
    this.byKind.set(kind, (this.byKind.get(kind) ?? 0) + 1);
  }

  /** One line for the log of a run. */
  told(what: string): string {
    const kinds = [...this.byKind].map(([kind, count]) => `${kind} ${count}`).join(", ");
    const { snapshots, pruned, cancelled, released } = this.had;
    return `${what}: ${this.runs} runs, ${this.operations} operations, ${this.injections} injections (${kinds}), ${this.refused} openings refused; runs with snapshots ${snapshots}, pruning ${pruned}, cancels ${cancelled}, releases ${released}`;
  }
}
