import { DibsError, StorageUnavailableError } from "../task/errors.ts";
import type { Meters, VerbMeter } from "./meters.ts";
import { turned } from "./turn.ts";

/**
 * Every call of the storage passes here: it is timed and counted, known to be under way, and when it throws
 * its error gets a code.
 */
export class Calls {
  readonly #meters: Meters;
  #underWay = 0;
  #whenIdle: (() => void)[] = [];

  constructor(meters: Meters) {
    this.#meters = meters;
  }

  /** Makes one call that is not merged. */
  async run<T>(verb: string, call: () => Promise<T>): Promise<T> {
    const meter = this.#meters.verb(verb);
    const startedAt = this.begin();
    try {
      return await call();
    } catch (error) {
      meter.errors += 1;
      throw storageError(verb, error);
    } finally {
      this.end(meter, startedAt);
    }
  }

  /** Notes that a call begins; answers the moment. */
  begin(): number {
    this.#underWay += 1;
    return performance.now();
  }

  /** Notes that a call ended, well or not; answers the moment. */
  end(meter: VerbMeter, startedAt: number): number {
    const now = performance.now();
    meter.seconds.record((now - startedAt) / 1_000);
    this.#underWay -= 1;
    if (this.#underWay === 0 && this.#whenIdle.length > 0) this.#tellIdle();
    return now;
  }

  /** Resolves when no call is under way, and none that was asked for has yet to leave. */
  async idle(): Promise<void> {
    await turned();
    while (this.#underWay > 0) {
      await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
      await turned();
    }
  }

  #tellIdle(): void {
    for (const tell of this.#whenIdle.splice(0)) tell();
  }
}

/** The error that callers see when a storage call threw: nothing of that call was acknowledged. */
export function storageError(verb: string, cause: unknown): DibsError {
  if (cause instanceof DibsError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StorageUnavailableError(`The storage failed in ${verb}: ${reason}`, { cause });
}
