import type { TlsOptions } from "../../storage/redis/link/connection.ts";

/** Where a rung keeps its tasks: all its keys begin with `prefix`, and nothing else is touched. */
export interface RungPlace {
  readonly url: string;
  readonly prefix: string;
  readonly tls?: TlsOptions;
}

export interface RungTask {
  readonly id: string;
  readonly payload: string;
  /** 0 to 9, 9 is most urgent. */
  readonly priority: number;
}

/** One way to claim tasks: one step of the ladder, or beside it. */
export interface Rung {
  /** Kebab-case. */
  readonly name: string;
  /** What is new in it, in a sentence. */
  readonly what: string;
  /** Whether it promises that no task is handed out twice. */
  readonly isSafe: boolean;
  /** Whether it hands out the most urgent and then the oldest task first. */
  readonly isOrdered: boolean;
  /** Tasks a claim. */
  readonly batch: number;
  /** What its factors are over, when that is not the rung before. */
  readonly over?: string;
  /** More callers than this are not tried: it says why in `what`. */
  readonly callersMax?: number;
  /** A trial ends after so many claims. */
  readonly claimsMax?: number;
  /** A stretch is at least so many claims: for a rung that holds tasks while the queue is filled again. */
  readonly claimsAStretch?: number;
  /** Opens it on an empty place. */
  open(place: RungPlace): Promise<OpenRung>;
}

export interface OpenRung {
  /** Adds ready tasks; not measured. */
  fill(tasks: readonly RungTask[]): Promise<void>;
  /** Caller number `n`. */
  worker(n: number): RungWorker;
  /** Tasks that are there and not completed, by the store's own count. */
  unfinished(): Promise<number>;
  /** What the workers sent so far. */
  traffic(): Traffic;
  close(): Promise<void>;
}

export interface RungWorker {
  /** Claims up to a batch; the ids. Empty when nothing was ready. */
  claim(): Promise<readonly string[]>;
  /** Completes what was claimed; how many tasks that ended. */
  complete(ids: readonly string[]): Promise<number>;
  /** Completes and claims in one call, where the rung can do that: then the other two are used for first and last only. */
  next?(done: readonly string[]): Promise<NextClaim>;
}

export interface NextClaim {
  readonly completed: number;
  readonly claimed: readonly string[];
}

export interface Traffic {
  /** Times that a caller, or one for many, waited for an answer of Redis. */
  readonly roundTrips: number;
  /** Commands sent outside scripts, by lower-case name. */
  readonly plain: Readonly<Record<string, number>>;
}
