import { randomBytes } from "node:crypto";
import { rm, symlink, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

// The socket of a folder's holder: as long as the process lives the system keeps it open, and the moment the
// process dies, however it dies, it is closed. It stands inside the folder, so that two containers that share
// the folder (but no /tmp and no process numbers) see it too.

/** The system allows 104 to 108 bytes for the path of a socket. */
const PATH_BYTES_MAX = 100;
/** A holder that accepts and is silent for so long is busy or stopped, but alive. */
const ANSWER_MS = 1_000;

/** The holder's end: answers everyone with its nonce and stays connected until it lets go. */
export class HolderSocket {
  readonly #server: Server;
  readonly #callers: Set<Socket>;
  readonly #path: string;

  private constructor(server: Server, callers: Set<Socket>, path: string) {
    this.#server = server;
    this.#callers = callers;
    this.#path = path;
  }

  /** Listens; undefined where the file system takes no sockets. */
  static async listen(place: string, nonce: string): Promise<HolderSocket | undefined> {
    const callers = new Set<Socket>();
    const server = createServer((caller) => answer(caller, nonce, callers)).unref();
    const path = socketPath(place, nonce);
    try {
      await withShortPath(place, path, (short) => listening(server, short));
    } catch {
      return undefined;
    }
    server.on("error", () => {}); // A failed accept is the caller's trouble: it sees that we are here.
    return new HolderSocket(server, callers, path);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const caller of this.#callers) caller.destroy();
    await closed;
    await removeSocket(this.#path);
  }
}

function answer(caller: Socket, nonce: string, callers: Set<Socket>): void {
  callers.add(caller);
  caller.unref();
  caller.on("error", () => {}); // The caller went away.
  caller.on("close", () => callers.delete(caller));
  caller.write(nonce);
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** What a look at a holder's socket shows. */
export type Sighting =
  /** `left` resolves when the holder has gone; `end` stops waiting for it. */
  | { readonly kind: "alive"; readonly left: Promise<void>; readonly end: () => void }
  | { readonly kind: "gone" }
  /** The socket cannot be asked from here. */
  | { readonly kind: "unknown" };

/** Asks at the socket of the holder with this nonce. */
export async function sight(place: string, nonce: string): Promise<Sighting> {
  try {
    return await withShortPath(place, socketPath(place, nonce), (path) => ask(path, nonce));
  } catch {
    return { kind: "unknown" };
  }
}

function ask(path: string, nonce: string): Promise<Sighting> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const left = new Promise<void>((gone) => socket.once("close", () => gone()));
    const alive = () => resolve({ kind: "alive", left, end: () => socket.destroy() });
    const over = (kind: "gone" | "unknown") => {
      socket.destroy();
      resolve({ kind });
    };
    socket.setTimeout(ANSWER_MS, alive);
    // A foreign listener at the holder's place is not the holder.
    socket.once("data", (bytes) => (bytes.toString() === nonce ? alive() : over("gone")));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      // More callers than its socket queues: it is there. Nobody tells when it leaves, so look again soon.
      if (error.code === "EAGAIN") resolve({ kind: "alive", left: delay(100), end: () => {} });
      else over(SHOWS_NOBODY.has(error.code) ? "gone" : "unknown");
    });
    // A holder closes its socket after letting go, never before.
    socket.once("close", () => over("gone"));
  });
}

const SHOWS_NOBODY: ReadonlySet<string | undefined> = new Set([
  "ENOENT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
]);

/** Removes what a dead holder left. */
export async function removeSocketOf(place: string, nonce: string): Promise<void> {
  await removeSocket(socketPath(place, nonce));
}

async function removeSocket(path: string): Promise<void> {
  if (process.platform !== "win32") await rm(path, { force: true });
}

function socketPath(place: string, nonce: string): string {
  return process.platform === "win32" ? `\\\\.\\pipe\\dibs-${nonce}` : join(place, `${nonce}.sock`);
}

/** Reaches a socket whose path is too long for the system through a short link to its folder. */
async function withShortPath<T>(place: string, path: string, use: (path: string) => Promise<T>): Promise<T> {
  if (process.platform === "win32" || Buffer.byteLength(path) <= PATH_BYTES_MAX) return use(path);
  const link = join(tmpdir(), `dibs-${randomBytes(6).toString("hex")}`);
  await symlink(place, link);
  try {
    return await use(join(link, path.slice(place.length + 1)));
  } finally {
    await unlink(link);
  }
}
