import { mark } from "../claim-marks.ts";
import type { Storage } from "../storage/storage.ts";
import { ShuttingDownError } from "../task/errors.ts";
import type { ClaimedTask } from "../task/task.ts";
import { Claim, type ClaimSurroundings } from "./claim.ts";
import type { Lines } from "./lines.ts";
import type { Meters } from "./meters.ts";
import type { ClaimRequest } from "./requests.ts";
import type { Undelivered } from "./undelivered.ts";

const NONE: Promise<readonly ClaimedTask[]> = Promise.resolve([]);

export interface ClaimsOptions {
  readonly storage: Storage;
  readonly lines: Lines;
  readonly meters: Meters;
  readonly undelivered: Undelivered;
}

/** What hands out tasks. */
export class Claims implements ClaimSurroundings {
  readonly storage: Storage;
  readonly lines: Lines;
  readonly meters: Meters;
  readonly undelivered: Undelivered;
  isDraining = false;
  parked = 0;

  constructor({ storage, lines, meters, undelivered }: ClaimsOptions) {
    this.storage = storage;
    this.lines = lines;
    this.meters = meters;
    this.undelivered = undelivered;
  }

  one(request: ClaimRequest, signal: AbortSignal | undefined): Promise<readonly ClaimedTask[]> {
    if (this.isDraining)
      return Promise.reject(new ShuttingDownError("The broker drains: it hands out no tasks"));
    if (signal?.aborted === true) return NONE;
    const claim = this.prepared(request, signal);
    claim.proceed(performance.now());
    return claim.answer;
  }

  /** A claim that has entered its lines and asked nothing yet. */
  prepared(request: ClaimRequest, signal: AbortSignal | undefined): Claim {
    const claim = new Claim(request, signal, this);
    mark("asked", claim);
    claim.enter();
    return claim;
  }

  /** Hands out no more tasks: every claim that rests is answered now, and none begins to. */
  drain(): void {
    this.isDraining = true;
    for (const line of this.lines.all()) {
      for (const place of line.waiting.restingPlaces()) place.waiter.dismiss();
    }
  }
}
