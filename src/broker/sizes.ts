import { type DibsError, PayloadTooLargeError } from "../task/errors.ts";
import type { JsonText } from "../task/task.ts";

/** Shorter texts are counted at three bytes a character, the most that UTF-8 needs for one. */
const COUNTED_LENGTH = 1_024;

/** The bytes of a text in UTF-8: exact for long texts, an upper bound for short ones. */
export function bytesOf(text: JsonText): number {
  return text.length <= COUNTED_LENGTH ? text.length * 3 : Buffer.byteLength(text);
}

/** The error of a payload or result that is longer than `bytesMax`; undefined when it is not. */
export function tooLarge(
  field: "payload" | "result",
  text: JsonText,
  bytesMax: number,
): DibsError | undefined {
  if (text.length * 3 <= bytesMax) return undefined;
  const bytes = Buffer.byteLength(text);
  if (bytes <= bytesMax) return undefined;
  return new PayloadTooLargeError(`Expected \`${field}\` to be at most ${bytesMax} bytes, got ${bytes}`, {
    details: { field, bound: bytesMax, value: bytes },
  });
}
