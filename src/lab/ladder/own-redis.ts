import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";

const PROGRAMS = ["redis-server", "valkey-server"];
/** What the shell says of a program that is not on PATH. */
const NOT_FOUND = 127;
/** Somebody else may take the free port before the server does. */
const TRIES = 5;
const TAKEN = /Address already in use|Failed listening on port/;

/**
 * Runs a server until the pipe from this process ends: whichever way this process goes, its server goes with it. It
 * hears no Ctrl-C, for the one who pressed it wants to clear up first.
 */
const GUARD = `
trap '' INT TERM HUP
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -9 $server 2>/dev/null; } &
wait $server
`;

/** No Redis to be started here; the message says what to do. */
export class NoRedisError extends Error {}

/** A Redis of our own on a free port of the loopback interface. Nothing is kept on disk. */
export class OwnRedis {
  readonly url: string;
  readonly #guard: ChildProcess;

  private constructor(url: string, guard: ChildProcess) {
    this.url = url;
    this.#guard = guard;
  }

  /** @throws {NoRedisError} when there is none on PATH, or it does not start. */
  static async start(): Promise<OwnRedis> {
    for (const program of PROGRAMS) {
      for (let tries = 1; ; tries += 1) {
        const started = await attempt(program, await freePort());
        if (started instanceof OwnRedis) return started;
        if (started.code === NOT_FOUND) break;
        if (!TAKEN.test(started.said) || tries === TRIES)
          throw new NoRedisError(`${program} did not start:\n${started.said.trim()}`);
      }
    }
    throw new NoRedisError(
      `Found neither ${PROGRAMS.join(" nor ")} on PATH: install one of them (7.0 or later), or name one that runs with --store redis://…`,
    );
  }

  /** @internal */
  static at(port: number, guard: ChildProcess): OwnRedis {
    return new OwnRedis(`redis://127.0.0.1:${port}`, guard);
  }

  async stop(): Promise<void> {
    if (this.#guard.exitCode !== null) return;
    const ended = once(this.#guard, "exit");
    this.#guard.stdin?.end();
    await ended;
  }
}

async function attempt(
  program: string,
  port: number,
): Promise<OwnRedis | { readonly code: number | null; readonly said: string }> {
  const place = ["--bind", "127.0.0.1", "--port", `${port}`, "--dir", tmpdir(), "--daemonize", "no"];
  const args = ["-c", GUARD, "sh", program, ...place, "--save", "", "--appendonly", "no"];
  const guard = spawn("sh", args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  guard.stdin.on("error", () => {}); // It has ended: the exit says so.
  let said = "";
  return new Promise((resolve) => {
    const hear = (chunk: Buffer) => {
      said += chunk;
      if (!said.includes("Ready to accept connections")) return;
      said = "";
      // What it says later is read and dropped, or its pipe would fill.
      guard.stdout.off("data", hear).resume();
      resolve(OwnRedis.at(port, guard));
    };
    guard.stdout.on("data", hear);
    guard.stderr.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    guard.on("error", () => resolve({ code: NOT_FOUND, said: "" })); // Not even a shell.
    guard.on("exit", (code) => {
      guard.stdin.end();
      setImmediate(() => resolve({ code, said }));
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
