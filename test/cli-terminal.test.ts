import { spawnSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { QueueMessage } from "../src/protocol/messages.ts";
import { Command, MAIN, ServerProcess } from "./command.ts";

/** What people see at a terminal. The terminal is made by `script` of util-linux, which not every machine has. */
const hasScript = spawnSync("script", ["--version"]).stdout?.toString().includes("util-linux") === true;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start("memory:");
});
afterAll(() => server.stop());

function atTerminal(line: string, env: Readonly<Record<string, string>> = {}): Command {
  const command = `stty cols 60 2>/dev/null; '${process.execPath}' '${MAIN}' ${line}`;
  return new Command([], {
    through: ["script", "-qec", `bash -c "${command}"`, "/dev/null"],
    // With CI set, Node believes that no terminal shows colours.
    env: { DIBS_URL: server.url, TERM: "xterm-256color", CI: "", ...env },
  });
}

async function enqueue(queue: string, payload: unknown): Promise<void> {
  const body = JSON.stringify({ queue, payload });
  expect((await fetch(`${server.url}/v1/tasks`, { method: "POST", body })).status).toBe(201);
}

async function ready(queue: string): Promise<number> {
  const reply = await fetch(`${server.url}/v1/queues/${queue}`);
  return ((await reply.json()) as QueueMessage).counts.ready;
}

describe.skipIf(!hasScript)("at a terminal (made by script of util-linux)", () => {
  it("titles are bold, lines are cut to its width, and NO_COLOR is heard", async () => {
    await enqueue("wide", "x".repeat(200));

    const { stdout } = await atTerminal("tasks list wide").ended();
    expect(stdout).toContain("\x1b[1mID");
    for (const line of stdout.split("\r\n"))
      expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(60);
    expect(stdout).toContain("…");
    const plain = await atTerminal("tasks list wide", { NO_COLOR: "1" }).ended();
    expect(plain.stdout).not.toContain("\x1b");
  });

  it("a progress line moves while lines are enqueued, and is gone at the end", async () => {
    const { stdout } = await atTerminal("enqueue progress - < <(seq 20000)").ended();
    const shown = stdout.replaceAll("\x1b[K", "<clear>");
    expect(shown).toMatch(/\r<clear>[\d,]+ enqueued, [\d,]+ a second/);
    expect(shown).toMatch(/\r<clear>20,000 enqueued\r\n$/);
  });

  it("purge asks, and takes only a yes for one", async () => {
    await enqueue("asked", 1);
    const refused = atTerminal("queues purge asked --state ready");
    await refused.says(/Delete 1 ready tasks of asked for good\? \[y\/N\]/);
    refused.write("n\n");
    expect(await refused.ended()).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("Nothing was deleted."),
    });
    expect(await ready("asked")).toBe(1);

    const agreed = atTerminal("queues purge asked --state ready");
    await agreed.says(/\[y\/N\]/);
    agreed.write("y\n");
    expect(await agreed.ended()).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("Deleted 1 ready tasks"),
    });
    expect(await ready("asked")).toBe(0);
  });

  it("Ctrl-C at the question deletes nothing", async () => {
    await enqueue("interrupted", 1);
    const command = atTerminal("queues purge interrupted --state ready");
    await command.says(/\[y\/N\]/);
    command.write("\x03");
    expect((await command.ended()).code).toBe(130);
    expect(await ready("interrupted")).toBe(1);
  });
});
