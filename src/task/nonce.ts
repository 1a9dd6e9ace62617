import { randomFillSync } from "node:crypto";

// One call to the system for 256 of them: a call for each costs about a microsecond on the claim path.
const nonces = new Uint32Array(256);
let used = nonces.length;

/** A random number for lease tokens, so that the fence, which everyone may read, does not give them away. */
export function newNonce(): number {
  if (used === nonces.length) {
    randomFillSync(nonces);
    used = 0;
  }
  used += 1;
  // 30 bits: a small integer, which is written as text without allocating a number first.
  return (nonces[used - 1] as number) >>> 2;
}
