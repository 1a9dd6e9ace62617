import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { guardedFolder, guardProcess, releaseProcess } from "./guard.ts";
import { redisProgram } from "./redis-program.ts";
import { until } from "./until.ts";

export interface RedisServerOptions {
  /** Keeps an append-only file, with this `appendfsync`. Default: no persistence at all. */
  readonly appendonly?: "always" | "everysec";
  /** Where its files are. Default: a temporary folder of its own, removed when the test process ends. */
  readonly folder?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** More arguments of redis-server, such as `["--maxmemory", "20mb"]`; they win over the ones set here. */
  readonly args?: readonly string[];
}

/** What the log says when a server, or a sentinel, is ready. */
const READY = /Ready to accept connections|\+monitor master/;
const TAKEN = /Address already in use|Failed listening on port/;
/** One that is in the middle of an endless script hears no SIGTERM. */
const STOP_MS = 5_000;
/** Somebody else may take the free port before the server does. */
const TRIES = 5;

/** Starts a real Redis on the loopback interface; it ends at the latest with the process that started it. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = options.folder ?? (await guardedFolder());
  for (let tries = 1; ; tries += 1) {
    const port = options.port ?? (await freePort());
    const server = new RedisServer(port, folder, argumentsOf(options, port, folder));
    try {
      await server.start();
      return server;
    } catch (error) {
      const isTaken = error instanceof Error && TAKEN.test(error.message);
      if (!isTaken || options.port !== undefined || tries === TRIES) throw error;
    }
  }
}

function argumentsOf(options: RedisServerOptions, port: number, folder: string): string[] {
  const place = ["--bind", "127.0.0.1", "--port", String(port), "--dir", folder, "--daemonize", "no"];
  const appended = ["--appendonly", "yes", "--appendfsync", String(options.appendonly)];
  const durability = options.appendonly === undefined ? ["--appendonly", "no"] : appended;
  return [...place, "--save", "", ...durability, ...(options.args ?? [])];
}

/** One server process. Its log is `redis.log` in its folder. */
export class RedisServer {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly folder: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(port: number, folder: string, args: readonly string[]) {
    this.port = port;
    this.folder = folder;
    this.#args = args;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  /** The process, also after it has ended. */
  get pid(): number {
    return this.#child?.pid as number;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it accepts connections, its files read; rejects with its log when it ends before. */
  async start(): Promise<void> {
    const log = join(this.folder, "redis.log");
    const before = existsSync(log) ? statSync(log).size : 0;
    const said = () => (existsSync(log) ? readFileSync(log).subarray(before).toString() : "");
    const output = openSync(log, "a"); // Also what it says before it would open a log of its own.
    const child = spawn(redisProgram(), [...this.#args], { stdio: ["ignore", output, output] });
    closeSync(output);
    child.unref();
    this.#child = child;
    this.#ended = once(child, "exit");
    if (child.pid === undefined) await this.#ended; // Could not be started: rejects with the reason.
    guardProcess(this.pid);
    this.#ended = this.#ended.then(() => releaseProcess(child.pid as number));
    await until(`Redis on port ${this.port} is ready`, () => !this.isRunning || READY.test(said()), 60_000);
    if (!this.isRunning) throw new Error(`Redis ended at its start:\n${said()}`);
  }

  /** SIGKILL: what it has not written is lost. Resolves when it has ended. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    this.#child?.ref(); // Waited for even where nothing else keeps this process going.
    await this.#ended;
  }

  /** Ends it in good order, also when it is stopped by SIGSTOP. Its folder stays for a `restart()`. */
  async stop(): Promise<void> {
    this.signal("SIGTERM");
    this.signal("SIGCONT");
    const patience = setTimeout(() => this.signal("SIGKILL"), STOP_MS);
    this.#child?.ref();
    await this.#ended;
    clearTimeout(patience);
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.pid, name);
  }

  /** Starts it again on its port and folder; one that still runs is ended in good order first. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}
