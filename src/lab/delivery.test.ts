import { describe, expect, it } from "vitest";
import { DeliveryLedger } from "./delivery.ts";

const NO_FAULTS = {
  lost: 0,
  phantom: 0,
  doubled: 0,
  completedTwice: 0,
  unclaimed: 0,
  unknown: 0,
  reusedIds: 0,
};

/** A ledger of `finished` tasks that went through, and `waiting` ones that did not. */
function aLedger({ finished = 3, waiting = 0 } = {}): DeliveryLedger {
  const ledger = new DeliveryLedger();
  for (let i = 0; i < finished; i += 1) {
    ledger.enqueued(`done-${i}`);
    ledger.claimed(`done-${i}`);
    ledger.completed(`done-${i}`);
  }
  for (let i = 0; i < waiting; i += 1) ledger.enqueued(`waiting-${i}`);
  return ledger;
}

describe("delivery audit", () => {
  it("calls a run exact when every task was claimed and completed once", () => {
    const audit = aLedger({ finished: 5, waiting: 2 }).audit(2);

    expect(audit).toMatchObject({ exact: true, controlCaught: true, faults: NO_FAULTS });
    expect(audit).toMatchObject({ enqueued: 7, claimed: 5, completed: 5, pending: 2 });
  });

  it("judges what several processes noted as one", () => {
    const [producer, worker, whole] = [new DeliveryLedger(), new DeliveryLedger(), new DeliveryLedger()];
    for (const id of ["a", "b", "c"]) producer.enqueued(id);
    for (const id of ["a", "b"]) worker.claimed(id);
    worker.completed("a");

    for (const { written } of [producer, worker]) whole.append(structuredClone(written));

    expect(whole.audit(2)).toMatchObject({ exact: true, enqueued: 3, claimed: 2, completed: 1 });
    expect(producer.audit(3).exact).toBe(false);
    whole.append(worker.written);
    expect(whole.audit(2).faults).toMatchObject({ doubled: 2, completedTwice: 1 });
  });

  it("catches a task that was claimed twice without a return", () => {
    const ledger = aLedger();
    ledger.claimed("done-1");

    const audit = ledger.audit(0);

    expect(audit.exact).toBe(false);
    expect(audit.faults).toEqual({ ...NO_FAULTS, doubled: 1 });
    expect(audit.examples).toEqual(["done-1"]);
  });

  it("accepts a second claim that a return explains, and not a third", () => {
    const ledger = aLedger();
    ledger.returned("done-1");
    ledger.claimed("done-1");
    expect(ledger.audit(0).exact).toBe(true);

    ledger.claimed("done-1");

    expect(ledger.audit(0).faults).toEqual({ ...NO_FAULTS, doubled: 1 });
  });

  it("catches a task that nobody completed and the engine does not have", () => {
    const audit = aLedger({ finished: 3, waiting: 1 }).audit(0);

    expect(audit.exact).toBe(false);
    expect(audit.faults).toEqual({ ...NO_FAULTS, lost: 1 });
  });

  it("catches a task that is completed for its worker and pending for the engine", () => {
    expect(aLedger().audit(1).faults).toEqual({ ...NO_FAULTS, phantom: 1 });
  });

  it("catches a task that was completed twice", () => {
    const ledger = aLedger();
    ledger.completed("done-0");

    expect(ledger.audit(0).faults).toEqual({ ...NO_FAULTS, completedTwice: 1 });
  });

  it("catches a completion without a claim, ids from nowhere, and an id given twice", () => {
    const ledger = aLedger();
    ledger.enqueued("never-claimed");
    ledger.completed("never-claimed");
    ledger.claimed("from-nowhere");
    ledger.enqueued("done-0");

    const audit = ledger.audit(0);

    expect(audit.faults).toEqual({ ...NO_FAULTS, unclaimed: 1, unknown: 1, reusedIds: 1 });
  });

  it("is not exact when nothing was claimed", () => {
    expect(aLedger({ finished: 0, waiting: 2 }).audit(2)).toMatchObject({
      exact: false,
      controlCaught: false,
    });
  });
});
