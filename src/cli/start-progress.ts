/** Sooner a start is no long one, and nobody asks how far it is. */
const TOLD_EVERY_MS = 2_000;

/** Turns the progress of a long start into a sentence every two seconds; a short one says nothing. */
export function startProgress(
  tell: (sentence: string) => void,
  now: () => number = () => performance.now(),
): (done: number, total: number) => void {
  const begunAt = now();
  let toldAt = begunAt;
  return (done, total) => {
    const at = now();
    if (at - toldAt < TOLD_EVERY_MS) return;
    toldAt = at;
    const share = done / Math.max(1, total);
    const left = Math.ceil(((at - begunAt) * (1 - share)) / Math.max(share, 0.01) / 1_000);
    tell(`Reading the journal: ${Math.floor(100 * share)} %, about ${left} s left`);
  };
}
