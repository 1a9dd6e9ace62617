import type { Settlement } from "../storage/storage.ts";
import { type DibsError, StorageUnavailableError } from "../task/errors.ts";
import { queueOf } from "../task/ids.ts";
import type { ClaimedTask } from "../task/task.ts";
import { type Answers, ManyAnswers, OneAnswer } from "./answers.ts";
import type { Claim } from "./claim.ts";
import type { Claims } from "./claims.ts";
import { type Group, Groups } from "./groups.ts";
import type { Lines } from "./lines.ts";
import type { ClaimRequest, SettleRequest, SettleResult } from "./requests.ts";
import { SettleCall } from "./settle-call.ts";
import { bytesOf, tooLarge } from "./sizes.ts";

export interface SettleAnswer {
  /** One for each settlement, in order. */
  readonly results: (SettleResult | DibsError)[];
  readonly tasks: readonly ClaimedTask[];
}

export interface SettlementsOptions {
  readonly lines: Lines;
  readonly claims: Claims;
  readonly payloadBytesMax: number;
  readonly random: () => number;
}

const FIRST: readonly number[] = [0];

/** What ends claims, and lets the next claim ride along. */
export class Settlements {
  readonly #options: SettlementsOptions;

  constructor(options: SettlementsOptions) {
    this.#options = options;
  }

  one(request: SettleRequest): Promise<SettleResult> {
    const answer = new OneAnswer<SettleResult>();
    const fault = this.#fault(request);
    if (fault === undefined) {
      const line = this.#options.lines.of(queueOf(request.id));
      const settlements = [this.#settlement(request)];
      line.settles.add(new SettleCall(line, settlements, FIRST, resultBytes(request), answer));
    } else answer.take(fault);
    return answer.promise;
  }

  async many(
    requests: readonly SettleRequest[],
    claimRequest: ClaimRequest | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SettleAnswer> {
    const { claims } = this.#options;
    if (claimRequest === undefined || claims.isDraining || signal?.aborted === true) {
      return { results: await this.#settled(requests), tasks: [] };
    }
    const claim = claims.prepared(claimRequest, signal);
    // What was settled is told in any case; a claim that failed brought nothing and is made again.
    const claimed = claim.answer.catch((): readonly ClaimedTask[] => []);
    return { results: await this.#settled(requests, claim), tasks: await claimed };
  }

  #settled(requests: readonly SettleRequest[], claim?: Claim): Promise<(SettleResult | DibsError)[]> {
    const answers = new ManyAnswers<SettleResult>(requests.length);
    const groups = this.#grouped(requests, answers);
    if (claim === undefined) for (const group of groups) this.#add(group, answers);
    else this.#addWithClaim(groups, answers, claim);
    return answers.promise;
  }

  /**
   * The claim goes with the settlements of the queue that it asks first, once those of all other queues
   * have their answers: one storage call when all is in one queue.
   */
  #addWithClaim(groups: readonly Group<Settlement>[], answers: Answers<SettleResult>, claim: Claim): void {
    const companion = groups.findLast((group) => group.queue === claim.firstQueue);
    if (companion !== undefined && groups.length === 1) {
      this.#add(companion, answers, claim);
      return;
    }
    const others = groups.filter((group) => group !== companion);
    const goOn = (storageFailure?: DibsError): void => {
      if (companion !== undefined) this.#add(companion, answers, claim);
      // When the storage failed for everything, nobody will receive what the claim would bring.
      else if (storageFailure !== undefined) claim.fail(storageFailure);
      else claim.proceed(performance.now());
    };
    if (others.length === 0) goOn();
    const before = new AnswersBefore(others, answers, goOn);
    for (const group of others) this.#add(group, before);
  }

  #add(group: Group<Settlement>, answers: Answers<SettleResult>, claim?: Claim): void {
    const line = this.#options.lines.of(group.queue);
    line.settles.add(new SettleCall(line, group.items, group.places, group.bytes, answers, claim));
  }

  #grouped(requests: readonly SettleRequest[], answers: Answers<SettleResult>): readonly Group<Settlement>[] {
    const groups = new Groups<Settlement>();
    for (const [place, request] of requests.entries()) {
      const fault = this.#fault(request);
      if (fault !== undefined) answers.take(fault, place);
      else groups.add(queueOf(request.id), this.#settlement(request), place, resultBytes(request));
    }
    return groups.all();
  }

  #fault(request: SettleRequest): DibsError | undefined {
    if (request.outcome !== "complete" || request.result === undefined) return undefined;
    return tooLarge("result", request.result, this.#options.payloadBytesMax);
  }

  #settlement(request: SettleRequest): Settlement {
    return request.outcome === "nack" ? { ...request, random: this.#options.random() } : request;
  }
}

/** Passes answers on, and goes on when all of the groups have theirs. */
class AnswersBefore implements Answers<SettleResult> {
  readonly #answers: Answers<SettleResult>;
  readonly #goOn: (storageFailure?: DibsError) => void;
  #missing: number;
  #isAcknowledged = false;

  constructor(
    groups: readonly Group<Settlement>[],
    answers: Answers<SettleResult>,
    goOn: (storageFailure?: DibsError) => void,
  ) {
    this.#missing = groups.reduce((sum, group) => sum + group.items.length, 0);
    this.#answers = answers;
    this.#goOn = goOn;
  }

  take(answer: SettleResult | DibsError, place: number): void {
    this.#answers.take(answer, place);
    this.#missing -= 1;
    const failure = answer instanceof StorageUnavailableError ? answer : undefined;
    if (failure === undefined) this.#isAcknowledged = true;
    if (this.#missing === 0) this.#goOn(this.#isAcknowledged ? undefined : failure);
  }
}

function resultBytes(request: SettleRequest): number {
  return request.outcome === "complete" && request.result !== undefined ? bytesOf(request.result) : 0;
}
