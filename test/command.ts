import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** The `dibs` command as it is shipped, in a process of its own. */
export const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export interface CommandEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** What is run instead of `node dist/cli/main.js`, and the arguments that come before the command's. */
  readonly through?: readonly [file: string, ...args: string[]];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
}

/** A command that runs. */
export class Command {
  readonly #child: ChildProcess;
  readonly #ended: Promise<CommandEnd>;
  #stdout = "";
  #stderr = "";
  #onOutput: (() => void) | undefined;

  constructor(args: readonly string[], options: CommandOptions = {}) {
    const spawned: SpawnOptions = { env: { ...cleanEnvironment(), ...options.env }, stdio: "pipe" };
    if (options.cwd !== undefined) spawned.cwd = options.cwd;
    const [file, ...before] = options.through ?? [process.execPath, MAIN];
    this.#child = spawn(file, [...before, ...args], spawned);
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#stdout += chunk;
      this.#onOutput?.();
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk;
      this.#onOutput?.();
    });
    this.#child.stdin?.on("error", () => {}); // It need not read what it is given.
    if (options.input !== undefined) this.#child.stdin?.end(options.input);
    this.#ended = once(this.#child, "close").then(([code, signal]) => ({
      code,
      signal,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  write(text: string): boolean {
    return this.#child.stdin?.write(text) ?? false;
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  ended(): Promise<CommandEnd> {
    return this.#ended;
  }

  /** Resolves when what it has written fits; rejects when it ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
      if (found !== null) return found;
      if (!this.isRunning)
        throw new Error(`It ended without saying ${pattern}: ${this.#stdout}${this.#stderr}`);
      await new Promise<void>((resolve) => {
        this.#onOutput = resolve;
        this.#child.once("close", () => resolve());
      });
    }
  }

  /** Ends it in any case; for the end of a test. */
  async stop(): Promise<void> {
    if (this.isRunning) this.send("SIGKILL");
    await this.#ended;
  }
}

/** Runs a command to its end. */
export function dibs(args: readonly string[], options: CommandOptions = {}): Promise<CommandEnd> {
  return new Command(args, { input: "", ...options }).ended();
}

/** Runs a command whose stdout a shell's other command reads; the exit code is that of dibs. */
export function piped(
  args: readonly string[],
  reader: string,
  options: CommandOptions = {},
): Promise<CommandEnd> {
  const script = `set -o pipefail; "$0" "$@" | ${reader}`;
  return dibs(args, { ...options, through: ["bash", "-c", script, process.execPath, MAIN] });
}

/** A running `dibs serve` on a free port. */
export class ServerProcess extends Command {
  #url = "";

  get url(): string {
    return this.#url;
  }

  /** Resolves when it says that it is ready. @throws with its last words when it ends before. */
  static async start(
    store: string,
    flags: readonly string[] = [],
    options?: CommandOptions,
  ): Promise<ServerProcess> {
    const args = ["serve", "--store", store, "--port", "0", "--log-level", "error", "--json", ...flags];
    const server = new ServerProcess(args, options);
    const [line] = await server.says(/^.*"ready".*$/m);
    server.#url = (JSON.parse(line) as { url: string }).url;
    return server;
  }

  /** As a crash does it: at once, in the middle of whatever it does. */
  kill(): Promise<CommandEnd> {
    this.send("SIGKILL");
    return this.ended();
  }

  /** As a supervisor does it. */
  terminate(): Promise<CommandEnd> {
    this.send("SIGTERM");
    return this.ended();
  }
}

/** The environment without settings of dibs: a test says all of them itself. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DIBS_")));
}

/** The lines of JSON that a command wrote. */
export function jsonLines(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);
}
