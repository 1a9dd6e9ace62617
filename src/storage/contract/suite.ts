import { assertConserved } from "./conservation.ts";
import { type Opened, Stage } from "./stage.ts";

type Register = (name: string, body: () => Promise<void>) => unknown;

/** The test runner's own functions: those of Vitest, Jest, Mocha and `node:test` all fit. */
export interface Runner {
  describe(name: string, body: () => void): unknown;
  readonly it: Register & { readonly skip?: Register };
}

/** What an engine cannot do, each with the sentence that says why; the tests concerned are skipped with it. */
export interface ContractOptions {
  /** Why nothing is left after a close. */
  readonly forgetful?: string;
  /** Why time runs on between two calls, so that nothing can be asked at an exact millisecond. */
  readonly timeFlows?: string;
}

/** What time may do to an engine whose clock flows, between two calls of one test. */
const FLOW_MS = 10_000;

/** How the chapters of the suite register their tests. */
export class Suite {
  readonly #runner: Runner;
  readonly #open: () => Promise<Opened>;
  readonly #options: ContractOptions;

  constructor(runner: Runner, open: () => Promise<Opened>, options: ContractOptions) {
    this.#runner = runner;
    this.#open = open;
    this.#options = options;
  }

  chapter(name: string, register: (suite: Suite) => void): void {
    this.#runner.describe(name, () => register(this));
  }

  /** A test in a namespace of its own. Afterwards no task may be lost or counted twice (I1). */
  test(name: string, body: (stage: Stage) => Promise<void>): void {
    this.#runner.it(name, async () => {
      const stage = new Stage(await this.#open(), this.#options.timeFlows === undefined ? 0 : FLOW_MS);
      try {
        await body(stage);
        if (!stage.isClosed) await assertConserved(stage.storage);
      } finally {
        await stage.clear();
      }
    });
  }

  /** A test with two stores, which know nothing of each other. */
  pairTest(name: string, body: (from: Stage, to: Stage) => Promise<void>): void {
    this.test(name, async (from) => {
      const to = new Stage(await this.#open(), this.#options.timeFlows === undefined ? 0 : FLOW_MS);
      try {
        await body(from, to);
        await assertConserved(to.storage);
      } finally {
        await to.clear();
      }
    });
  }

  /** As {@link pairTest}, for what outlives a close. */
  reopenPairTest(name: string, body: (from: Stage, to: Stage) => Promise<void>): void {
    const { forgetful } = this.#options;
    if (forgetful === undefined) this.pairTest(name, body);
    else this.#skip(forgetful, name);
  }

  /** A test that asks what happens at one exact millisecond. */
  exactTest(name: string, body: (stage: Stage) => Promise<void>): void {
    this.#unless(this.#options.timeFlows, name, body);
  }

  /** A test that closes the engine and opens it again. */
  reopenTest(name: string, body: (stage: Stage) => Promise<void>): void {
    this.#unless(this.#options.forgetful, name, body);
  }

  #unless(reason: string | undefined, name: string, body: (stage: Stage) => Promise<void>): void {
    if (reason === undefined) this.test(name, body);
    else this.#skip(reason, name);
  }

  #skip(reason: string, name: string): void {
    this.#runner.it.skip?.(`${name} (skipped: ${reason})`, async () => {});
  }
}
