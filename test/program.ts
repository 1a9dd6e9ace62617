import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { root } from "./source-tree.ts";

/** Any program, as a reader of the documents starts it. */
export class Program {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  /** What it has written, to stdout and stderr. */
  output = "";
  #onOutput: (() => void) | undefined;

  constructor(command: string, args: readonly string[], options: ProgramOptions) {
    this.#child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, so that nothing that it started outlives the test.
      detached: true,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk;
        this.#onOutput?.();
      });
    }
    // "exit" and not "close": a grandchild that still holds the pipe is not waited for.
    this.#ended = once(this.#child, "exit").then(([code]) => code as number | null);
  }

  /** Resolves to its exit code. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  /** Resolves when what it has written fits; rejects when it ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found !== null) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`It ended without saying ${pattern}: ${this.output}`);
      await Promise.race([new Promise<void>((resolve) => (this.#onOutput = resolve)), this.#ended]);
    }
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it, and what it started. */
  async stop(): Promise<void> {
    try {
      process.kill(-(this.#child.pid as number), "SIGKILL");
    } catch {
      // All of its group has ended.
    }
    await this.#ended;
  }
}

export interface ProgramOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Whether a command is installed here; a test of a language that is not says so and is left out. */
export function isInstalled(command: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** A folder of one's own in which `import "dibs"` finds the package and `dibs` the command. */
export async function userFolder(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "dibs-user-"));
  await mkdir(join(path, "node_modules/.bin"), { recursive: true });
  await symlink(root, join(path, "node_modules/dibs"));
  await symlink(join(root, "dist/cli/main.js"), join(path, "node_modules/.bin/dibs"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** A PATH on which the command of a user folder is found. */
export function pathOf(folder: string): string {
  return `${join(folder, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`;
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DIBS_")));
}
