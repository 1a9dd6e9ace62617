/** Where a task stood in the order in which the tasks of its queue were to be claimed, lowest first. */
export type Places = ReadonlyMap<string, number>;

/**
 * Tasks enqueued one after the other, all before the first claim: the higher priority first, first in first out
 * within one. `dealt`: the priorities, dealt in turn.
 */
export function placesOf(ids: readonly string[], dealt: readonly number[]): Places {
  const ranked = ids.map((id, n) => ({ id, n, priority: dealt[n % dealt.length] ?? 0 }));
  ranked.sort((a, b) => b.priority - a.priority || a.n - b.n);
  return new Map(ranked.map(({ id }, place) => [id, place]));
}

/**
 * How many claims came before one that was to come first. Fences grow with every claim and so say which came
 * first, whatever way their answers took; those of one step of the engine share a fence and have no order.
 */
export function outOfOrder(claims: readonly (readonly [fence: number, id: string])[], places: Places) {
  const sorted = claims
    .map(([fence, id]) => [fence, places.get(id)] as const)
    .filter((claim): claim is readonly [number, number] => claim[1] !== undefined)
    .sort((a, b) => b[0] - a[0]);
  let wrong = 0;
  // From the last claim to the first: everything that was claimed later than this fence must stand behind.
  let least = Number.POSITIVE_INFINITY;
  for (let at = 0; at < sorted.length; ) {
    let end = at;
    while (end < sorted.length && sorted[end]?.[0] === sorted[at]?.[0]) end += 1;
    const step = sorted.slice(at, end).map(([, place]) => place);
    wrong += step.filter((place) => place > least).length;
    for (const place of step) least = Math.min(least, place);
    at = end;
  }
  return { claims: sorted.length, outOfOrder: wrong };
}
