import assert from "node:assert/strict";
import { LIMITS } from "../../task/limits.ts";
import { aTask, completed, nacked, QUEUE, refused, released, SETTLEMENTS, tasks } from "./builders.ts";
import { completeContract } from "./complete.ts";
import { leaseTokenContract } from "./lease-token.ts";
import { nackContract } from "./nack.ts";
import { refuseContract } from "./refuse.ts";
import { releaseContract } from "./release.ts";
import { idsOf } from "./stage.ts";
import type { Suite } from "./suite.ts";

export function settleContract(suite: Suite): void {
  suite.chapter("complete", completeContract);
  suite.chapter("nack", nackContract);
  suite.chapter("refuse", refuseContract);
  suite.chapter("release", releaseContract);
  suite.chapter("with a token that is not the lease's", leaseTokenContract);
  suite.chapter("many at once, and claims with them", batches);
}

function batches(suite: Suite): void {
  suite.test("settles a thousand claims in one call, each by its own outcome", async (stage) => {
    await stage.enqueue(...tasks(LIMITS.batchMax));
    const claimed = await stage.claimAll();
    assert.equal(claimed.length, LIMITS.batchMax);

    const outcomes = await stage.settle(
      ...claimed.map((task, place) => SETTLEMENTS[place % SETTLEMENTS.length]!(task)),
    );

    const kinds = ["completed", "ready", "dead", "ready", "ready"];
    outcomes.forEach((outcome, place) => {
      assert.equal(outcome.kind, kinds[place % kinds.length]);
    });
    const counts = await stage.counts();
    assert.deepEqual([counts.completed, counts.ready, counts.dead, counts.leased], [200, 600, 200, 0]);
  });

  suite.test("answers nothing for nothing", async (stage) => {
    await stage.enqueue(aTask());

    assert.deepEqual(await stage.storage.settle(QUEUE, []), {
      outcomes: [],
      claim: { grants: [], more: true },
    });
  });

  suite.test("takes several endings of one task in order: the first counts", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);

    const outcomes = await stage.settle(
      completed(a, "1"),
      nacked(b, { delayMs: 0 }),
      completed(a, "2"),
      completed(b),
      refused(c),
      released(c),
      nacked(a),
    );

    assert.deepEqual(
      outcomes.map((outcome) => ("state" in outcome ? `${outcome.kind} ${outcome.state}` : outcome.kind)),
      [
        "completed",
        "ready",
        "completed",
        "lease-lost ready",
        "dead",
        "lease-lost dead",
        "lease-lost completed",
      ],
    );
    assert.equal((await stage.taskIn(a.id, "completed")).result, "1");
  });

  suite.test("serves its asks with what the same call made ready", async (stage) => {
    await stage.enqueue(...tasks(3));
    const [a, b, c] = await stage.claim(3);

    const reply = await stage.storage.settle(
      QUEUE,
      [nacked(a, { delayMs: 0, error: "again" }), released(b), completed(c)],
      [
        { max: 1, worker: "x" },
        { max: 5, worker: "y" },
      ],
    );

    assert.deepEqual(
      reply.outcomes.map(({ kind }) => kind),
      ["ready", "ready", "completed"],
    );
    assert.deepEqual(reply.claim.grants.map(idsOf), [[b.id], [a.id]]);
    assert.equal(reply.claim.more, false);
    const [[releasedOne] = [], [nackedOne] = []] = reply.claim.grants;
    assert.equal(releasedOne?.attempt, 1);
    assert.equal(nackedOne?.attempt, 2);
    assert.equal(nackedOne?.lastError, "again");
    assert.equal(nackedOne?.lease.worker, "y");
    assert.ok(nackedOne.lease.fence > a.lease.fence);
  });

  suite.test("says that ready tasks remain when it made them ready itself", async (stage) => {
    await stage.enqueue(...tasks(2));
    const [a, b] = await stage.claim(2);

    const unasked = await stage.storage.settle(QUEUE, [released(a)]);
    const asked = await stage.storage.settle(QUEUE, [nacked(b, { delayMs: 0 })], [{ max: 1 }]);

    assert.deepEqual(unasked.claim, { grants: [], more: true });
    assert.deepEqual(asked.claim.grants.map(idsOf), [[a.id]]);
    assert.equal(asked.claim.more, true);
  });

  suite.test("serves its asks also when every settlement came too late", async (stage) => {
    await stage.enqueue(...tasks(2));
    const task = await stage.claimOne();
    await stage.storage.cancel(QUEUE, [task.id]);

    const reply = await stage.storage.settle(QUEUE, [completed(task)], [{ max: 1 }]);

    assert.deepEqual(reply.outcomes, [{ kind: "lease-lost", state: "cancelled" }]);
    assert.equal(reply.claim.grants[0]?.length, 1);
  });

  suite.test("settles in a paused queue, and claims nothing there", async (stage) => {
    await stage.enqueue(...tasks(2));
    const task = await stage.claimOne();
    await stage.storage.configure(QUEUE, { paused: true });

    const reply = await stage.storage.settle(QUEUE, [completed(task)], [{ max: 1 }]);

    assert.equal(reply.outcomes[0]?.kind, "completed");
    assert.deepEqual(reply.claim, { grants: [[]], more: false });
  });
}
