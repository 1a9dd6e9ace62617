/** The number of hash slots of a Redis Cluster. */
export const SLOTS = 16_384;

/** CRC-16/XMODEM, as in https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ (appendix A). */
const CRC = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

/** The hash slot of a key: of what stands in its first `{…}` when that is not empty, else of the whole key. */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  const isTagged = close > open + 1;
  const from = isTagged ? open + 1 : 0;
  const end = isTagged ? close : key.length;
  let crc = 0;
  for (let at = from; at < end; at += 1) {
    const code = key.charCodeAt(at);
    if (code > 127) return crcOf(Buffer.from(key.slice(from, end))) % SLOTS;
    crc = ((crc << 8) & 0xffff) ^ (CRC[(crc >> 8) ^ code] as number);
  }
  return crc % SLOTS;
}

function crcOf(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = ((crc << 8) & 0xffff) ^ (CRC[(crc >> 8) ^ byte] as number);
  return crc;
}
