import type { Engine } from "../engine.ts";

/** Where a task stands in the line of its state. */
export interface PlaceInLine {
  readonly slot: number;
  readonly key: number;
  readonly tie: number;
}

export function placeOf(engine: Engine, slot: number): PlaceInLine {
  const { table } = engine;
  const order = table.order.get(slot);
  switch (table.stateOf(slot)) {
    case "scheduled":
      return { slot, key: table.runAt.get(slot), tie: order };
    case "leased":
      return { slot, key: table.time.get(slot), tie: engine.queueOfSlot(slot).leaseTie(slot) };
    default:
      return { slot, key: order, tie: 0 };
  }
}

export function inOrder(a: PlaceInLine, b: PlaceInLine): number {
  return a.key - b.key || a.tie - b.tie;
}
