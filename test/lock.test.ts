import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

let folder: string;
const started: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-lock-"));
});

afterEach(async () => {
  for (const child of started.splice(0)) await kill(child);
  await rm(folder, { recursive: true, force: true });
});

interface Contender {
  readonly child: ChildProcess;
  /** Its first line. */
  readonly said: Promise<string>;
}

function contend(waitMs = 0): Contender {
  const program = new URL("./lock-holder.mjs", import.meta.url).pathname;
  const child = spawn(process.execPath, [program, folder, String(waitMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.push(child);
  const lines = createInterface({ input: child.stdout });
  return { child, said: once(lines, "line").then(([line]) => String(line)) };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

describe("processes on one folder", () => {
  it("are refused while another lives, with its process number", async () => {
    const first = contend();
    expect(await first.said).toBe("held");

    expect(await contend().said).toBe(`refused ${JSON.stringify({ folder, pid: first.child.pid })}`);
  });

  it("get the folder at once after its holder was killed", async () => {
    for (let round = 0; round < 5; round += 1) {
      const holder = contend();
      expect(await holder.said).toBe("held");
      await kill(holder.child);
    }
  });

  it("get the folder at the moment its holder is killed, when they wait", async () => {
    const old = contend();
    expect(await old.said).toBe("held");
    const restarted = contend(60_000);

    await kill(old.child);

    expect(await restarted.said).toBe("held");
  });

  it("share nothing when ten ask at once after a kill: one gets it, nine hear from whom", async () => {
    const old = contend();
    expect(await old.said).toBe("held");
    await kill(old.child);

    const ten = Array.from({ length: 10 }, () => contend());
    const said = await Promise.all(ten.map((contender) => contender.said));

    const winner = ten[said.indexOf("held")]?.child.pid;
    const refused = `refused ${JSON.stringify({ folder, pid: winner })}`;
    expect(said.toSorted()).toEqual(["held", ...Array(9).fill(refused)]);
  });

  it("keep the folder while they are stopped, and hold it still when they go on", async () => {
    const stopped = contend();
    expect(await stopped.said).toBe("held");
    stopped.child.kill("SIGSTOP");

    expect(await contend().said).toBe(`refused ${JSON.stringify({ folder, pid: stopped.child.pid })}`);

    stopped.child.kill("SIGCONT");
    expect(await contend().said).toBe(`refused ${JSON.stringify({ folder, pid: stopped.child.pid })}`);
  });
});
