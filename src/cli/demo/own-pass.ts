import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";

/** Size and SHA-256 of a file, or the system's word for why it cannot be read (`ENOENT`, `EACCES`). */
export type Digest = { readonly size: number; readonly sha256: string } | { readonly error: string };

/** What must have changed when the bytes of a file have. */
type Stamp = string;

export interface Seen {
  readonly digest: Digest;
  readonly stamp: Stamp;
}

const CHUNK_BYTES = 1024 * 1024;
const AT_A_TIME = 4;

/**
 * The demo's own look at every file, against which the workers' results are judged. It shares no code with them:
 * they stream, it reads into one buffer.
 */
export async function ownPass(
  files: readonly string[],
  signal: AbortSignal,
  onFile: (done: number) => void,
): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>();
  const rest = files.values();
  const pass = async () => {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (const path of rest) {
      signal.throwIfAborted();
      seen.set(path, await look(path, buffer));
      onFile(seen.size);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, pass));
  return seen;
}

/** What a result may be: the digest from before the run and, where the file has changed since, the present one. */
export async function acceptable(seen: ReadonlyMap<string, Seen>): Promise<Map<string, readonly Digest[]>> {
  const digests = new Map<string, readonly Digest[]>();
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (const [path, before] of seen) {
    const unchanged = (await stampOf(path)) === before.stamp;
    digests.set(path, unchanged ? [before.digest] : [before.digest, (await look(path, buffer)).digest]);
  }
  return digests;
}

async function look(path: string, buffer: Buffer): Promise<Seen> {
  // The stamp first: a change between the two shows as a changed file, never as a wrong result.
  const stamp = await stampOf(path);
  try {
    const file = await open(path, "r");
    try {
      return { stamp, digest: await digestOf(file, buffer) };
    } finally {
      await file.close();
    }
  } catch (error) {
    return { stamp, digest: { error: wordOf(error) } };
  }
}

async function digestOf(file: FileHandle, buffer: Buffer): Promise<Digest> {
  const hash = createHash("sha256");
  let size = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size);
    if (bytesRead === 0) return { size, sha256: hash.digest("hex") };
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
}

async function stampOf(path: string): Promise<Stamp> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return wordOf(error);
  }
}

/** The system's word for what went wrong with a file. */
export function wordOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === "string") return code;
  throw error;
}
