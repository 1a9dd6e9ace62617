import type { Heartbeat, HeartbeatOutcome, Storage } from "../storage/storage.ts";
import type { DibsError } from "../task/errors.ts";
import { type QueueName, queueOf } from "../task/ids.ts";
import { type Answers, ManyAnswers } from "./answers.ts";
import { Groups } from "./groups.ts";
import type { Line } from "./line.ts";
import type { Lines } from "./lines.ts";
import type { MergedCall } from "./merger.ts";
import type { HeartbeatRequest, HeartbeatResult } from "./requests.ts";
import { leaseLost, taskNotFound } from "./task-errors.ts";

/** What extends leases for their holders. */
export class Heartbeats {
  readonly #lines: Lines;

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  many(beats: readonly HeartbeatRequest[]): Promise<(HeartbeatResult | DibsError)[]> {
    const answers = new ManyAnswers<HeartbeatResult>(beats.length);
    const groups = new Groups<Heartbeat>();
    for (const [place, beat] of beats.entries()) groups.add(queueOf(beat.id), beat, place, 0);
    for (const group of groups.all()) {
      const line = this.#lines.of(group.queue);
      line.heartbeats.add(new HeartbeatCall(line, group.items, group.places, answers));
    }
    return answers.promise;
  }
}

/** Heartbeats of one caller for one queue. */
export class HeartbeatCall implements MergedCall<readonly HeartbeatOutcome[]> {
  readonly beats: readonly Heartbeat[];
  readonly bytes = 0;
  /** Where this caller's outcomes begin in the reply. */
  from = 0;
  readonly #line: Line;
  readonly #places: readonly number[];
  readonly #answers: Answers<HeartbeatResult>;

  constructor(
    line: Line,
    beats: readonly Heartbeat[],
    places: readonly number[],
    answers: Answers<HeartbeatResult>,
  ) {
    this.#line = line;
    this.beats = beats;
    this.#places = places;
    this.#answers = answers;
  }

  get weight(): number {
    return this.beats.length;
  }

  deal(reply: readonly HeartbeatOutcome[]): void {
    for (let index = 0; index < this.beats.length; index += 1) {
      const outcome = reply[this.from + index] as HeartbeatOutcome;
      const answer = this.#answer(outcome, this.beats[index] as Heartbeat);
      this.#answers.take(answer, this.#places[index] as number);
    }
  }

  fail(error: DibsError): void {
    for (const place of this.#places) this.#answers.take(error, place);
  }

  #answer(outcome: HeartbeatOutcome, { id }: Heartbeat): HeartbeatResult | DibsError {
    switch (outcome.kind) {
      case "extended":
        this.#line.expectDue(outcome.expiresAt);
        return { id, expiresAt: outcome.expiresAt };
      case "lease-lost":
        this.#line.meter.leasesLost += 1;
        return leaseLost(id, outcome.state);
      case "not-found":
        return taskNotFound(id);
    }
  }
}

/** Sends the heartbeats of many callers as one. */
export function sendHeartbeats(
  storage: Storage,
  queue: QueueName,
  calls: readonly HeartbeatCall[],
): Promise<HeartbeatOutcome[]> {
  if (calls.length === 1) return storage.heartbeat(queue, (calls[0] as HeartbeatCall).beats);
  const beats: Heartbeat[] = [];
  for (const call of calls) {
    call.from = beats.length;
    for (const beat of call.beats) beats.push(beat);
  }
  return storage.heartbeat(queue, beats);
}
