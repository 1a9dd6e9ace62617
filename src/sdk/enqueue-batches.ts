import { LIMITS } from "../task/limits.ts";
import type { JsonText } from "../task/task.ts";

/** A part of a long list that fits into one request: the items from `start` up to before `end`. */
export interface EnqueueBatch {
  readonly start: number;
  readonly end: number;
  readonly texts: readonly JsonText[];
}

/** The braces and the name around the items. */
const ENVELOPE_BYTES = 64;

/**
 * Cuts a list of JSON texts into batches of at most 1,000 items and 16 MiB, in order.
 * An item that is larger than a request may be stays alone: the server says so.
 */
export function* batches(
  texts: readonly JsonText[],
  itemsMax = LIMITS.batchMax as number,
  bytesMax = LIMITS.bodyBytesMax - ENVELOPE_BYTES,
): Generator<EnqueueBatch> {
  let start = 0;
  while (start < texts.length) {
    let end = start;
    let bytes = 0;
    while (end < texts.length && end - start < itemsMax) {
      bytes += Buffer.byteLength(texts[end] as JsonText) + 1;
      if (bytes > bytesMax && end > start) break;
      end += 1;
    }
    yield { start, end, texts: texts.slice(start, end) };
    start = end;
  }
}
