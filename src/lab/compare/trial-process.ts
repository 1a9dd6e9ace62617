import { setImmediate as nextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { connect } from "../../connect.ts";
import type { Dibs } from "../../sdk/client.ts";
import type { ClaimedTaskView } from "../../sdk/task-view.ts";
import { serveDuties } from "../child.ts";
import { DeliveryLedger } from "../delivery.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import { payloadPool } from "../payload.ts";
import type { TrialDuties, TrialEnd, TrialSpec } from "./trial.ts";

/**
 * A process that measures one build: callers that enqueue, claim and complete through its public surface. The ruler
 * is of this build, whatever it is laid on, so two builds are measured alike, also one that has no lab of its own.
 */

/** How long callers may go on before the event loop gets its turn: the build's timers live there. */
const TURN_NS = 2e6;
const FILL_BATCH = 1_000;
const PAYLOADS = payloadPool().map((text) => JSON.parse(text) as unknown);

class TrialRun {
  readonly #dibs: Dibs;
  readonly #spec: TrialSpec;
  #ledger = new DeliveryLedger();
  #latency = new LatencyHistogram();
  #failures = new Set<string>();
  #operations = 0;
  #errors = 0;
  #seconds = 0;
  #cpuUs = 0;
  #memoryBytes = 0;
  #payload = 0;

  private constructor(dibs: Dibs, spec: TrialSpec) {
    this.#dibs = dibs;
    this.#spec = spec;
  }

  static async start(spec: TrialSpec): Promise<TrialRun> {
    const build = (await import(pathToFileURL(spec.entry).href)) as { connect: typeof connect };
    const run = new TrialRun(await build.connect(spec.place, spec.options), spec);
    await run.#fill();
    await run.measure(spec.warmupSeconds);
    run.#forget();
    return run;
  }

  async measure(seconds: number): Promise<void> {
    const cpu = process.cpuUsage();
    const startedAt = nowNs();
    const until = startedAt + seconds * 1e9;
    await Promise.all(Array.from({ length: this.#spec.concurrency }, () => this.#call(until)));
    this.#seconds += (nowNs() - startedAt) / 1e9;
    const { user, system } = process.cpuUsage(cpu);
    this.#cpuUs += user + system;
    this.#memoryBytes = Math.max(this.#memoryBytes, process.memoryUsage.rss());
  }

  async finish(): Promise<TrialEnd> {
    const audit = this.#ledger.audit(await this.#pending());
    const wrong = Object.values(audit.faults).reduce((sum, count) => sum + count, 0);
    if (wrong > 0) this.#failures.add(`The audit is not exact: ${JSON.stringify(audit.faults)}`);
    await this.#clear();
    await this.#dibs.close();
    const ms = (percentile: number) => this.#latency.percentileNs(percentile) / 1e6;
    const figures = {
      p50Ms: ms(50),
      p95Ms: ms(95),
      p99Ms: ms(99),
      perSecond: this.#operations / this.#seconds,
      cpuUs: this.#cpuUs / Math.max(1, this.#operations),
      memoryBytes: this.#memoryBytes,
      operations: this.#operations,
      errors: this.#errors + wrong,
    };
    return { figures, failures: [...this.#failures] };
  }

  /** One caller, one call at a time. */
  async #call(until: number): Promise<void> {
    let turnAt = nowNs() + TURN_NS;
    for (let now = nowNs(); now < until; now = nowNs()) {
      try {
        await this.#cycle();
      } catch (error) {
        this.#errors += 1;
        if (this.#failures.size < 5) this.#failures.add(String(error));
      }
      if (now < turnAt) continue;
      await nextTurn();
      turnAt = nowNs() + TURN_NS;
    }
  }

  async #cycle(): Promise<void> {
    const { queue } = this.#spec;
    this.#payload = (this.#payload + 1) % PAYLOADS.length;
    const { id } = await this.#dibs.enqueue(queue, PAYLOADS[this.#payload]);
    this.#ledger.enqueued(id);
    const claimingAt = nowNs();
    const [task] = await this.#dibs.claim({ queues: [queue], max: 1 });
    const claimedAt = nowNs();
    if (task === undefined) throw new Error("A claim found nothing in a full queue");
    this.#latency.record(claimedAt - claimingAt);
    this.#ledger.claimed(task.id);
    await this.#complete(task);
    this.#ledger.completed(task.id);
    this.#operations += 1;
  }

  async #complete({ id, lease: { token } }: ClaimedTaskView): Promise<void> {
    const { results } = await this.#dibs.settle([{ id, leaseToken: token, outcome: "complete" }]);
    const error = results[0]?.error;
    if (error !== undefined) throw error;
  }

  async #fill(): Promise<void> {
    const { depth, queue } = this.#spec;
    for (let n = 0; n < depth; n += FILL_BATCH) {
      const payloads = PAYLOADS.slice(0, Math.min(FILL_BATCH, depth - n));
      for (const { task, error } of await this.#dibs.enqueueMany(queue, payloads)) {
        if (error !== undefined) throw error;
        this.#ledger.enqueued(task.id);
      }
    }
  }

  /** What the warm-up measured; who got what stays in the ledger, the tasks are still there. */
  #forget(): void {
    this.#latency = new LatencyHistogram();
    this.#operations = 0;
    this.#errors = 0;
    this.#seconds = 0;
    this.#cpuUs = 0;
    this.#memoryBytes = 0;
  }

  async #pending(): Promise<number> {
    const { counts } = await this.#dibs.queue(this.#spec.queue).get();
    return counts.scheduled + counts.ready + counts.leased;
  }

  async #clear(): Promise<void> {
    const queue = this.#dibs.queue(this.#spec.queue);
    for (const state of ["ready", "completed"] as const) await queue.purge(state);
  }
}

let run: TrialRun | undefined;

function started(): TrialRun {
  if (run === undefined) throw new Error("Nothing was started");
  return run;
}

const duties: TrialDuties = {
  async start(spec) {
    run = await TrialRun.start(spec);
  },
  measure: (seconds) => started().measure(seconds),
  finish: () => started().finish(),
};
serveDuties(duties);
