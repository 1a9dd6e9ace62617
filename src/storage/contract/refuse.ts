import assert from "node:assert/strict";
import { aTask, refused } from "./builders.ts";
import type { Suite } from "./suite.ts";

export function refuseContract(suite: Suite): void {
  suite.test("ends a refused task at once, attempts left or not", async (stage) => {
    await stage.enqueue(aTask(), aTask({ maxAttempts: 1 }));
    const [early, last] = await stage.claim(2);
    await stage.advance(100);

    const outcomes = await stage.settle(refused(early, "no such address"), refused(last));

    for (const outcome of outcomes) {
      assert.ok(outcome.kind === "dead" && outcome.reason === "refused");
      stage.assertAbout(outcome.ranMs, 100);
    }
    const [first, second] = [await stage.taskIn(early.id, "dead"), await stage.taskIn(last.id, "dead")];
    assert.equal(first.deadReason, "refused");
    assert.equal(first.lastError, "no such address");
    assert.deepEqual(
      first.failures.map(({ attempt, error }) => [attempt, error]),
      [[1, "no such address"]],
    );
    assert.equal(second.deadReason, "refused", "refused wins over attempts");
    assert.equal("lastError" in second, false);
    assert.equal(second.failures[0]?.error, "");
  });
}
