import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ClaimedTaskMessage } from "../src/protocol/messages.ts";
import { Command, jsonLines } from "./command.ts";
import { until } from "./crash/until.ts";

/** A folder with 600 files of many sizes, in folders, some of them odd. */
const FILES = 600;
let folder: string;
let scratch: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-demo-files-"));
  scratch = await mkdtemp(join(tmpdir(), "dibs-demo-tmp-"));
  for (let at = 0; at < FILES - 3; at += 1) {
    const place = join(folder, `folder-${at % 10}`);
    await mkdir(place, { recursive: true });
    await writeFile(join(place, `file ${at}.bin`), randomBytes(at * 50));
  }
  await writeFile(join(folder, "größe 🦉.txt"), "an owl");
  await writeFile(join(folder, "empty"), "");
  await writeFile(join(folder, "unreadable"), "nobody but root reads this");
  await chmod(join(folder, "unreadable"), 0);
  await symlink(tmpdir(), join(folder, "a-way-out"));
  await mkdir(join(folder, ".git"));
  await writeFile(join(folder, ".git", "HEAD"), "left out");
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(scratch, { recursive: true });
});

function demo(...flags: string[]): Command {
  return new Command(["demo", folder, ...flags], { env: { TMPDIR: scratch } });
}

interface Report {
  readonly verdict: string;
  readonly files: number;
  readonly completed: number;
  readonly claims: number;
  readonly redeliveries: readonly { readonly worker: string; readonly error: string }[];
  readonly faults: readonly string[];
  readonly killed: {
    readonly worker: string;
    readonly pid: number;
    readonly held: number;
    readonly atCompleted: number;
  };
  readonly latency: { readonly claim: { readonly p50: number; readonly p99: number; readonly p999: number } };
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false; // There is no such process.
  }
}

describe("dibs demo", () => {
  it("works through every file, loses a worker half-way, and passes its audit", async () => {
    const { code, stdout } = await demo("--json").ended();

    const [report] = jsonLines(stdout) as [Report];
    expect(report.faults).toEqual([]);
    expect({ code, verdict: report.verdict }).toEqual({ code: 0, verdict: "passed" });
    expect(report).toMatchObject({ files: FILES, completed: FILES });
    expect(report.killed.held).toBeGreaterThan(0);
    expect(report.killed.atCompleted).toBeGreaterThanOrEqual(FILES / 2);
    expect(report.redeliveries.length).toBeGreaterThan(0);
    expect(report.claims).toBe(FILES + report.redeliveries.length);
    for (const { worker } of report.redeliveries) expect(worker).toBe(report.killed.worker);
    expect(report.latency.claim.p999).toBeGreaterThan(0);
    expect(isRunning(report.killed.pid)).toBe(false);
    expect(await readdir(scratch)).toEqual([]);
  });

  it("tells people what it does, and how it ended", async () => {
    const { code, stdout, stderr } = await demo("--store", "memory:").ended();

    expect(code).toBe(0);
    expect(stderr).toContain(`${FILES} files below ${folder}`);
    expect(stderr).toContain("That is a small demo: 10,000 files or more show more.");
    expect(stderr).toMatch(/killed demo-\d-\d+ \(kill -9 \d+\) at \d+ completed; it held \d+ tasks/);
    expect(stdout).toMatch(/LAST MINUTE +P50 +P99 +P99\.9\nclaim +[\d.]+ ms/);
    expect(stdout).toMatch(/\d+ claims = 600 files \+ \d+ redeliveries after demo-\d-\d+ was killed/);
    expect(stdout).toMatch(/The audit passed/);
  });

  it("keeps its tasks in a store that it is given", async () => {
    const store = join(scratch, "kept");
    expect((await demo("--store", store, "--json").ended()).code).toBe(0);
    expect(existsSync(store)).toBe(true);
    await rm(store, { recursive: true });
  });
});

describe("a fault in the run of the demo", () => {
  it("is found: a result that is wrong", async () => {
    const { code, faults } = await sabotaged(async (url, { id, lease }) => {
      const result = { size: 1, sha256: "0".repeat(64), worker: "saboteur" };
      const body = JSON.stringify({ leaseToken: lease.token, result });
      expect((await fetch(`${url}/v1/tasks/${id}/complete`, { method: "POST", body })).status).toBe(200);
    });

    expect(code).toBe(1);
    expect(faults).toEqual([
      expect.stringMatching(/the worker found .*0000/),
      expect.stringMatching(/result of saboteur, its completion was reported by nobody/),
    ]);
  });

  it("is found: a redelivery that the killed worker does not explain", async () => {
    // The saboteur claims a task and does nothing more, so its lease ends.
    const { code, faults } = await sabotaged(async () => {});

    expect(code).toBe(1);
    expect(faults).toEqual([expect.stringMatching(/^Attempt 1 of \S+ by saboteur failed: .*expired/)]);
  });
});

/** Runs the demo while somebody else claims one of its tasks. */
async function sabotaged(
  act: (url: string, task: ClaimedTaskMessage) => Promise<void>,
): Promise<{ code: number | null; faults: string[] }> {
  const command = demo("--store", "memory:");
  const [, url, queue] = await command.says(/serving on (\S+) \(.*\), queue (\S+)/);
  const body = JSON.stringify({ queues: [queue], leaseMs: 1_000, waitMs: 60_000, worker: "saboteur" });
  const reply = await fetch(`${url}/v1/claims`, { method: "POST", body });
  const { tasks } = (await reply.json()) as { tasks: [ClaimedTaskMessage] };
  await act(url as string, tasks[0]);
  const { code, stdout } = await command.ended();
  return { code, faults: [...stdout.matchAll(/^ {7}(\S.*)$/gm)].map(([, fault]) => fault as string) };
}

describe("Ctrl-C in the demo", () => {
  it("leaves neither workers nor files behind", async () => {
    const command = demo();
    const [, labels] = await command.says(/3 workers are ready: (.*)/);
    const pids = (labels as string).split(", ").map((label) => Number(label.split("-")[2]));
    expect(pids.every(isRunning)).toBe(true);

    command.send("SIGINT");

    expect(await command.ended()).toMatchObject({ code: 130, signal: null });
    await until(() => !pids.some(isRunning));
    expect(await readdir(scratch)).toEqual([]);
  });
});
