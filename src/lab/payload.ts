/** The size of the payloads in all measurements of the design: a small notification with its fields. */
export const PAYLOAD_BYTES = 213;

/**
 * A payload of exactly `bytes` bytes of JSON that differs for each `n`: equal texts would share memory and
 * compress, and so make an engine look smaller than it is. `n` is below 9 × 10^9.
 */
export function payloadOf(n: number, bytes = PAYLOAD_BYTES): string {
  const head = `{"n":${1_000_000_000 + n},"to":"someone@example.org","template":"welcome","text":"`;
  const fill = bytes - head.length - 2;
  if (fill < 0) throw new RangeError(`Expected bytes to be ${head.length + 2} or more, got ${bytes}`);
  return `${head}${"x".repeat(fill)}"}`;
}

/** `count` different payloads to be used in turn, so that making them is not measured. */
export function payloadPool(count = 4_096): readonly string[] {
  return Array.from({ length: count }, (_, n) => payloadOf(n));
}
