import { Broker } from "../broker/broker.ts";
import { ManualClock } from "../clock.ts";
import { LocalConnection } from "../local-connection.ts";
import { EmbeddedStorage } from "../storage/embedded/embedded-storage.ts";
import { Dibs } from "./client.ts";
import type { Worker } from "./worker.ts";

/** The clock of a {@link testDibs}: it stands still until it is moved. */
export interface TestClock {
  /** Epoch milliseconds. */
  now(): number;
  /**
   * Moves time forward: what comes due becomes ready, and leases that end are taken back, before the promise
   * resolves. `drain` waits for it too.
   */
  advance(ms: number): Promise<void>;
}

export interface TestDibs extends AsyncDisposable {
  readonly dibs: Dibs;
  readonly clock: TestClock;
}

/** Moves that are not done yet, of all clocks: `drain` is given a worker alone. */
const moving = new Set<Promise<void>>();

/**
 * Dibs in memory, with the real broker and the real engine, and a clock that you move. Close `dibs` at the
 * end, or write `await using kit = await testDibs()`.
 *
 * A worker's heartbeats follow real time: `advance` by more than the lease takes a task from its worker.
 */
export async function testDibs(): Promise<TestDibs> {
  const clock = new ManualClock();
  const broker = await Broker.open(await EmbeddedStorage.open({ clock }));
  const dibs = new Dibs(new LocalConnection(broker, "memory:"));
  return {
    dibs,
    clock: new MovableClock(clock, broker),
    [Symbol.asyncDispose]: () => dibs.close(),
  };
}

/** Resolves when the worker has nothing in hand and nothing is ready in its queues. */
export async function drain(worker: Worker): Promise<void> {
  await Promise.all(moving);
  await worker.whenIdle();
}

class MovableClock implements TestClock {
  readonly #clock: ManualClock;
  readonly #broker: Broker;

  constructor(clock: ManualClock, broker: Broker) {
    this.#clock = clock;
    this.#broker = broker;
  }

  now(): number {
    return this.#clock.now();
  }

  async advance(ms: number): Promise<void> {
    this.#clock.advance(ms);
    const move = this.#broker.runDue();
    moving.add(move);
    try {
      await move;
    } finally {
      moving.delete(move);
    }
  }
}
