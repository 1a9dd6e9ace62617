/** Cuts text to at most `bytesMax` bytes of UTF-8, at a whole character. */
export function cutToBytes(text: string, bytesMax: number): string {
  // A UTF-16 unit is at most three bytes of UTF-8, so short texts need no encoding.
  if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return text.toWellFormed();
  const bytes = Buffer.from(text);
  let end = bytesMax;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}
