import assert from "node:assert/strict";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ArrowCounts } from "./arrows.ts";

/*
 * Longer with DIBS_MODEL_RUNS and DIBS_MODEL_COMMANDS. A failure prints seed, path and replayPath, which
 * DIBS_MODEL_SEED, DIBS_MODEL_PATH and DIBS_MODEL_REPLAY_PATH play again.
 */
const { DIBS_MODEL_RUNS, DIBS_MODEL_COMMANDS, DIBS_MODEL_SEED, DIBS_MODEL_PATH, DIBS_MODEL_REPLAY_PATH } =
  process.env;
const COMMANDS_A_RUN = Number(DIBS_MODEL_COMMANDS ?? 60);
const SEED = Number(DIBS_MODEL_SEED ?? (Date.now() ^ process.pid) >>> 0);

/** How much is played when the environment says nothing, and how often each arrow is then taken at least. */
export interface Length {
  readonly runs: number;
  readonly eachArrow: number;
}

/** The model, the real thing, and how to let go of it. */
export interface Stage<Model extends object, Real> {
  readonly model: Model;
  readonly real: Real;
  close(): Promise<void>;
}

/**
 * Registers the test that plays random commands on the real thing and on the model, and the one that counts
 * whether every arrow of the state diagram was taken.
 */
export function playAgainstModel<Model extends object, Real>(
  commands: fc.Arbitrary<fc.AsyncCommand<Model, Real>>[],
  setUp: () => Promise<Stage<Model, Real>>,
  arrows: ArrowCounts,
  length: Length,
): void {
  const runs = Number(DIBS_MODEL_RUNS ?? length.runs);
  const limitMs = Math.max(30_000, runs * COMMANDS_A_RUN * 15);
  let played = 0;

  const play = fc.asyncProperty(
    fc.commands(commands, {
      // Lengths are drawn evenly from nothing to this, so half of it is their mean.
      maxCommands: 2 * COMMANDS_A_RUN,
      size: "max",
      ...(DIBS_MODEL_REPLAY_PATH !== undefined && { replayPath: DIBS_MODEL_REPLAY_PATH }),
    }),
    async (chosen) => {
      const { model, real, close } = await setUp();
      try {
        await fc.asyncModelRun(() => ({ model, real }), chosen);
        played += [...chosen].length;
      } finally {
        await close();
      }
    },
  );

  it(
    `does what the model does (DIBS_MODEL_SEED=${SEED})`,
    async () => {
      await fc.assert(play, {
        numRuns: runs,
        seed: SEED,
        // Shrinking ends here too: a counterexample that is not the smallest is better than none.
        interruptAfterTimeLimit: limitMs,
        ...(DIBS_MODEL_PATH !== undefined && { path: DIBS_MODEL_PATH }),
      });
    },
    2 * limitMs,
  );

  it.skipIf(DIBS_MODEL_PATH !== undefined || runs < length.runs)(
    `has been led along every arrow of the state diagram, each ${length.eachArrow} times or more`,
    () => {
      expect(arrows.rarerThan(length.eachArrow)).toEqual([]);
      assert.ok(played >= 0.8 * runs * COMMANDS_A_RUN, `Only ${played} commands were played`);
    },
  );
}
