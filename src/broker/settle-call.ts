import type { ClaimAsk, Settlement, SettleOutcome, SettleReply, Storage } from "../storage/storage.ts";
import type { DibsError } from "../task/errors.ts";
import type { QueueName } from "../task/ids.ts";
import { assertNever } from "../task/task.ts";
import type { Answers } from "./answers.ts";
import type { Claim } from "./claim.ts";
import type { Line } from "./line.ts";
import type { MergedCall } from "./merger.ts";
import type { SettleResult } from "./requests.ts";
import { leaseLost, taskNotFound } from "./task-errors.ts";

/** Settlements of one caller for one queue, and perhaps the caller's next claim. */
export class SettleCall implements MergedCall<SettleReply> {
  readonly settlements: readonly Settlement[];
  readonly bytes: number;
  readonly claim: Claim | undefined;
  /** Where this caller's outcomes begin in the reply. */
  from = 0;
  /** True when the claim's ask is in this call; otherwise the claim goes on by itself after it. */
  claimRides = false;
  readonly #line: Line;
  readonly #places: readonly number[];
  readonly #answers: Answers<SettleResult>;
  readonly #startedAt = performance.now();

  constructor(
    line: Line,
    settlements: readonly Settlement[],
    places: readonly number[],
    bytes: number,
    answers: Answers<SettleResult>,
    claim?: Claim,
  ) {
    this.#line = line;
    this.settlements = settlements;
    this.#places = places;
    this.bytes = bytes;
    this.#answers = answers;
    this.claim = claim;
  }

  get weight(): number {
    return Math.max(this.settlements.length, this.claim?.weight ?? 0);
  }

  deal(reply: SettleReply, now: number): void {
    this.#line.meters.settleSeconds.record((now - this.#startedAt) / 1_000);
    for (let index = 0; index < this.settlements.length; index += 1) {
      const settlement = this.settlements[index] as Settlement;
      const outcome = reply.outcomes[this.from + index] as SettleOutcome;
      this.#count(settlement, outcome);
      this.#answers.take(this.#answer(settlement, outcome), this.#places[index] as number);
    }
    if (this.claimRides) this.claim?.deal(reply.claim, now);
    else this.claim?.proceed(now);
  }

  fail(error: DibsError): void {
    for (const place of this.#places) this.#answers.take(error, place);
    this.claim?.fail(error);
  }

  #answer({ id }: Settlement, outcome: SettleOutcome): SettleResult | DibsError {
    switch (outcome.kind) {
      case "completed":
      case "ready":
      case "dead":
        return { id, state: outcome.kind };
      case "scheduled":
        return { id, state: "scheduled", runAt: outcome.runAt };
      case "lease-lost":
        return leaseLost(id, outcome.state);
      case "not-found":
        return taskNotFound(id);
      default:
        return assertNever(outcome);
    }
  }

  #count({ outcome: asked }: Settlement, outcome: SettleOutcome): void {
    const { meter } = this.#line;
    if (outcome.kind === "lease-lost") meter.leasesLost += 1;
    if (outcome.kind === "lease-lost" || outcome.kind === "not-found") return;
    if (outcome.kind === "completed" && outcome.repeated) return;
    meter.runSeconds.record(outcome.ranMs / 1_000);
    if (asked === "nack" || asked === "refuse") meter.nacked += 1;
    if (outcome.kind === "completed") meter.completed += 1;
    else if (outcome.kind === "dead") meter.dead += 1;
    else if (outcome.kind === "scheduled") this.#line.expectDue(outcome.runAt);
    if (outcome.kind === "completed" || outcome.kind === "dead") this.#line.finished(1);
  }
}

/** Sends the settlements of many callers as one, and then their asks. */
export function sendSettles(
  storage: Storage,
  queue: QueueName,
  calls: readonly SettleCall[],
): Promise<SettleReply> {
  const settlements: Settlement[] = [];
  const asks: ClaimAsk[] = [];
  for (const call of calls) {
    call.from = settlements.length;
    for (const settlement of call.settlements) settlements.push(settlement);
    if (call.claim?.rides() !== true) continue;
    call.claimRides = true;
    call.claim.index = asks.length;
    asks.push(call.claim.ask);
  }
  return asks.length === 0 ? storage.settle(queue, settlements) : storage.settle(queue, settlements, asks);
}
