import type { Engine } from "../engine.ts";
import { inOrder, type PlaceInLine, placeOf } from "./place.ts";

/**
 * Gives every task a place of its own in its queue, in the order of the places that they had. Numbers are used
 * again when they are free, so a task whose last change is lost may have that of a younger one.
 */
export function putInOrder(engine: Engine): void {
  const { table } = engine;
  const places: PlaceInLine[] = [];
  for (let slot = 0; slot < table.rows; slot += 1) {
    if (table.state.get(slot) !== 0) places.push(placeOf(engine, slot));
  }
  for (const { slot } of places.sort(inOrder)) {
    table.order.set(slot, newOrder(engine, slot));
    engine.queueOfSlot(slot).enter(slot);
  }
}

function newOrder(engine: Engine, slot: number): number {
  const { table } = engine;
  const queue = engine.queueOfSlot(slot);
  switch (table.stateOf(slot)) {
    case "ready":
      return queue.placeAtTail(table.priority.get(slot));
    case "scheduled":
      return queue.nextTie();
    case "leased":
      // 0 of those that were claimed in this store: their fences tell them apart.
      return table.order.get(slot) === 0 ? 0 : queue.nextMovedLease();
    default:
      return queue.nextFinish();
  }
}
