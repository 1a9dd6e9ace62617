import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { runShell, type ShellEnd, type ShellRun } from "./shell-command.ts";

function run(command: string, more: Partial<ShellRun> = {}): Promise<ShellEnd> {
  return runShell({
    command,
    input: "",
    env: { PATH: process.env["PATH"] },
    signal: new AbortController().signal,
    stdoutBytesMax: 1_000,
    stderrBytesMax: 10,
    killAfterMs: 100,
    ...more,
  });
}

/** True while a process runs; one that waits to be collected by its parent does not. */
function isRunning(pid: string): boolean {
  try {
    return !execFileSync("ps", ["-o", "stat=", "-p", pid], { encoding: "utf8" }).startsWith("Z");
  } catch {
    return false; // ps knows no such process.
  }
}

describe("runShell", () => {
  it("gives stdin and environment, and takes stdout and the exit code", async () => {
    const end = await run('read -r line; echo "$line $WORD"; exit 7', {
      input: "payload\n",
      env: { WORD: "word" },
    });
    expect(end).toEqual({ kind: "exited", code: 7, stdout: "payload word\n", stderrTail: "" });
  });

  it("does not mind a command that never reads its payload", async () => {
    const end = await run("exit 0", { input: "x".repeat(1_000_000) });
    expect(end).toMatchObject({ kind: "exited", code: 0 });
  });

  it("keeps the end of stderr, cut at a whole character", async () => {
    expect((await run("printf 'the beginning 123456789é' >&2")).stderrTail).toBe("23456789é");
    expect((await run("printf 'ééééé1' >&2")).stderrTail).toBe("éééé1");
    expect((await run("for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done")).stderrTail).toBe(
      " 8\nline 9",
    );
  });

  it("ends a command that writes more than it may", async () => {
    expect(await run("yes")).toMatchObject({ kind: "overflow", stdout: "", killedBy: expect.any(String) });
  });

  it("names the signal that ended it", async () => {
    expect(await run("kill -SEGV $$")).toMatchObject({ kind: "killed", killedBy: "SIGSEGV" });
  });

  it("ends the whole group when it is aborted", async () => {
    const controller = new AbortController();
    let pid = "";
    const end = run("sleep 300 & echo $! >&2; wait", { signal: controller.signal, stderrBytesMax: 100 });
    setTimeout(() => controller.abort(), 200);
    const { kind, stderrTail } = await end;
    pid = stderrTail.trim();

    expect(kind).toBe("aborted");
    expect(pid).toMatch(/^\d+$/);
    expect(isRunning(pid)).toBe(false);
  });

  it("kills a group that ignores SIGTERM", async () => {
    const controller = new AbortController();
    controller.abort();
    const end = await run("trap '' TERM; sleep 300", { signal: controller.signal, killAfterMs: 50 });
    expect(end.kind).toBe("aborted");
  });

  it("ends what a command leaves running behind it", async () => {
    const end = await run("sleep 300 & echo $!; exit 0");
    expect(end).toMatchObject({ kind: "exited", code: 0 });
    expect(isRunning(end.stdout.trim())).toBe(false);
  });
});
