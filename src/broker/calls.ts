import { DibsError, StorageUnavailableError } from "../task/errors.ts";
import type { Meters, VerbMeter } from "./meters.ts";
import { turned } from "./turn.ts";

/**
 * So much may wait for the storage, over all callers: far more than a burst of one moment. Only a storage that
 * no longer answers lets it come to that.
 */
const WAITING_MAX = 100_000;
const WAITING_BYTES_MAX = 512 * 1024 * 1024;

/**
 * Every call of the storage passes here: it is timed and counted, known to be under way, and when it throws
 * its error gets a code. What waits to be sent is bounded here too.
 */
export class Calls {
  readonly #meters: Meters;
  #underWay = 0;
  #waiting = 0;
  #waitingBytes = 0;
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

  /** Lets a caller wait for the next call, or says why not. */
  admit(bytes: number): DibsError | undefined {
    if (this.#waiting >= WAITING_MAX) return tooManyWait(`${WAITING_MAX} calls`);
    if (this.#waiting > 0 && this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      return tooManyWait(`${WAITING_BYTES_MAX} bytes`);
    }
    this.readmit(bytes);
    return undefined;
  }

  /** Lets a caller wait who was sent already, and is sent once more. */
  readmit(bytes: number): void {
    this.#waiting += 1;
    this.#waitingBytes += bytes;
  }

  /** So many of those who wait are being sent. */
  leave(count: number, bytes: number): void {
    this.#waiting -= count;
    this.#waitingBytes -= bytes;
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

function tooManyWait(limit: string): DibsError {
  return new StorageUnavailableError(`Too many calls wait for the storage: the limit is ${limit}`);
}

/** The error that callers see when a storage call threw: nothing of that call was acknowledged. */
export function storageError(verb: string, cause: unknown): DibsError {
  if (cause instanceof DibsError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StorageUnavailableError(`The storage failed in ${verb}: ${reason}`, { cause });
}
