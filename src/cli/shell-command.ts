import { type ChildProcess, spawn } from "node:child_process";
import type { Environment } from "../config.ts";

/**
 * One run of a shell command for one task: `dibs work --exec`.
 *
 * The command is the leader of a process group of its own, so that Ctrl-C at the terminal reaches it through us
 * and what it started ends with it: SIGTERM to the group, SIGKILL after ten seconds. A group that outlives its
 * leader and holds its output is ended the same way.
 */
export interface ShellRun {
  readonly command: string;
  /** What it reads from stdin. */
  readonly input: string;
  readonly env: Environment;
  /** Ends the group when it aborts. */
  readonly signal: AbortSignal;
  /** More on stdout ends the group. */
  readonly stdoutBytesMax: number;
  /** How much of the end of stderr is kept. */
  readonly stderrBytesMax: number;
  /** From SIGTERM to SIGKILL. Default 10 s; tests make it short. */
  readonly killAfterMs?: number;
}

export interface ShellEnd {
  /** `overflow`: it wrote more than `stdoutBytesMax`. */
  readonly kind: "exited" | "killed" | "overflow" | "aborted";
  /** 0 to 255; absent when a signal ended it. */
  readonly code?: number;
  readonly killedBy?: NodeJS.Signals;
  readonly stdout: string;
  readonly stderrTail: string;
}

const KILL_AFTER_MS = 10_000;
const live = new Set<ChildProcess>();

// Whatever ends this process, short of SIGKILL, ends its commands: nothing is left behind.
process.on("exit", () => {
  for (const child of live) signalGroup(child, "SIGKILL");
});

/** Runs the command to its end. Rejects only when no process could be made. */
export function runShell(run: ShellRun): Promise<ShellEnd> {
  const child = spawn(run.command, { shell: true, detached: true, env: run.env, stdio: "pipe" });
  live.add(child);
  return new Promise<ShellEnd>((resolve, reject) => {
    const ending = new Ending(child, run.killAfterMs ?? KILL_AFTER_MS);
    const output = new Captured(run, () => ending.begin());
    const onAbort = () => ending.begin();
    run.signal.addEventListener("abort", onAbort, { once: true });
    if (run.signal.aborted) onAbort();
    const done = () => {
      run.signal.removeEventListener("abort", onAbort);
      ending.over();
      live.delete(child);
    };
    child.stdout.on("data", (chunk: Buffer) => output.addStdout(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.addStderr(chunk));
    // A command need not read its payload; the broken pipe is no fault.
    child.stdin.on("error", () => {});
    child.stdin.end(run.input);
    child.once("error", (error) => {
      done();
      reject(error);
    });
    child.once("exit", () => ending.leaderIsGone());
    child.once("close", (code, signal) => {
      done();
      resolve(output.endWith(code, signal, run.signal.aborted));
    });
  });
}

/** Ends a process group: asks, and after a while does not ask any more. */
class Ending {
  readonly #child: ChildProcess;
  readonly #killAfterMs: number;
  #kill: NodeJS.Timeout | undefined;
  #leftover: NodeJS.Timeout | undefined;

  constructor(child: ChildProcess, killAfterMs: number) {
    this.#child = child;
    this.#killAfterMs = killAfterMs;
  }

  begin(): void {
    if (this.#kill !== undefined) return;
    signalGroup(this.#child, "SIGTERM");
    this.#kill = setTimeout(() => signalGroup(this.#child, "SIGKILL"), this.#killAfterMs);
  }

  /** What it wrote last may still be in the pipe; what still holds the pipe after that was left running. */
  leaderIsGone(): void {
    this.#leftover = setTimeout(() => this.begin(), 100);
  }

  over(): void {
    clearTimeout(this.#kill);
    clearTimeout(this.#leftover);
  }
}

/** What it wrote, within bounds. */
class Captured {
  readonly #run: ShellRun;
  readonly #onOverflow: () => void;
  #stdout: Buffer[] = [];
  #stdoutBytes = 0;
  #stderr: Buffer[] = [];
  #stderrBytes = 0;

  constructor(run: ShellRun, onOverflow: () => void) {
    this.#run = run;
    this.#onOverflow = onOverflow;
  }

  addStdout(chunk: Buffer): void {
    this.#stdoutBytes += chunk.length;
    if (this.#stdoutBytes <= this.#run.stdoutBytesMax) {
      this.#stdout.push(chunk);
      return;
    }
    this.#stdout = [];
    this.#onOverflow();
  }

  addStderr(chunk: Buffer): void {
    this.#stderr.push(chunk);
    this.#stderrBytes += chunk.length;
    while (this.#stderrBytes - (this.#stderr[0] as Buffer).length >= this.#run.stderrBytesMax) {
      this.#stderrBytes -= (this.#stderr.shift() as Buffer).length;
    }
  }

  endWith(code: number | null, signal: NodeJS.Signals | null, aborted: boolean): ShellEnd {
    const overflow = this.#stdoutBytes > this.#run.stdoutBytesMax;
    return {
      kind: aborted ? "aborted" : overflow ? "overflow" : signal !== null ? "killed" : "exited",
      ...(code !== null && { code }),
      ...(signal !== null && { killedBy: signal }),
      stdout: Buffer.concat(this.#stdout).toString(),
      stderrTail: this.#tail(),
    };
  }

  #tail(): string {
    let tail = Buffer.concat(this.#stderr).subarray(-this.#run.stderrBytesMax);
    // Cut at a whole character: a byte that goes on with one does not begin it.
    while (tail.length > 0 && ((tail[0] as number) & 0xc0) === 0x80) tail = tail.subarray(1);
    return tail.toString().trimEnd();
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone already, which is what was wanted.
  }
}
