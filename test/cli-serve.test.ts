import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Command, dibs, jsonLines, ServerProcess } from "./command.ts";

let folder: string;
const running: Command[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dibs-serve-"));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((command) => command.stop()));
  await rm(folder, { recursive: true });
});

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Command {
  const command = new Command(["serve", ...args], { env, cwd: folder });
  running.push(command);
  return command;
}

describe("dibs serve", () => {
  it("says in one line where it is, what survives, who may come in and how to stop it", async () => {
    const server = start(["--port", "0"]);
    const [line] = await server.says(/^dibs is ready.*$/m);

    expect(line).toMatch(
      /^dibs is ready at http:\/\/127\.0\.0\.1:\d+ {2}\(store \.\/data, durability process; no authentication, loopback only; Ctrl-C stops\)$/,
    );
    expect(server.stdout).toBe(`${line}\n`);
    expect(existsSync(join(folder, "data"))).toBe(true);
  });

  it("says it in JSON with --json", async () => {
    const server = start(["--port", "0", "--json", "--durability", "power", "--store", "elsewhere"]);
    await server.says(/"ready".*\n/);
    expect(jsonLines(server.stdout)).toEqual([
      {
        event: "ready",
        url: expect.stringMatching(/^http:/),
        store: "elsewhere",
        durability: "power",
        pid: server.pid,
      },
    ]);
  });

  it("takes every setting from the environment as well", async () => {
    const env = {
      DIBS_PORT: "0",
      DIBS_STORE: "memory:",
      DIBS_TOKENS: "t",
      DIBS_LOG_LEVEL: "silent",
      DIBS_PAYLOAD_BYTES_MAX: "10",
    };
    const server = start([], env);
    const [, url] = await server.says(
      /ready at (\S+) {2}\(in memory, nothing survives a restart; with tokens/,
    );

    const send = (payload: string) =>
      fetch(`${url}/v1/tasks`, {
        method: "POST",
        headers: { authorization: "Bearer t" },
        body: JSON.stringify({ queue: "q", payload }),
      });
    expect((await send("short")).status).toBe(201);
    expect((await send("rather too long")).status).toBe(413);
    expect(server.stderr).toBe("");
  });

  it("refuses more tasks than it may hold", async () => {
    const server = await ServerProcess.start("memory:", ["--tasks-max", "2"]);
    running.push(server);
    const send = () => fetch(`${server.url}/v1/tasks`, { method: "POST", body: '{"queue":"q"}' });
    expect([(await send()).status, (await send()).status, (await send()).status]).toEqual([201, 201, 429]);
  });

  it("writes nothing at durability none, and says so", async () => {
    const server = start(["--port", "0", "--durability", "none"]);
    await server.says(/in memory because durability is none, nothing survives a restart/);
    expect(existsSync(join(folder, "data"))).toBe(false);
  });

  it("names the port that is in use, and what to do; the folder is free again", async () => {
    const first = await ServerProcess.start("memory:");
    running.push(first);
    const { port } = new URL(first.url);

    const { code, stdout, stderr } = await dibs(["serve", "--port", port, "--log-level", "silent"], {
      cwd: folder,
    });

    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(`Port ${port} on 127.0.0.1 is in use`);
    expect(stderr).toContain("--port 0 takes any free one");
    await start(["--port", "0"]).says(/is ready/);
  });

  it.each([["--insecure"], ["--tokens=secret"]])(
    "listens beyond loopback only with %s",
    async (permission) => {
      // An address for documentation: no machine has it, so the permission is seen in what goes wrong.
      const args = [
        "serve",
        "--store",
        "memory:",
        "--port",
        "0",
        "--host",
        "192.0.2.1",
        "--log-level",
        "silent",
      ];

      expect(await dibs(args)).toMatchObject({ code: 2, stderr: expect.stringContaining("say --insecure") });
      const permitted = await dibs([...args, permission]);
      expect(permitted).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("192.0.2.1 is no address of this machine"),
      });
    },
  );
});

describe("the end of dibs serve", () => {
  it.each([
    ["SIGTERM", 0],
    ["SIGINT", 130],
  ] as const)("drains at %s and exits with %i", async (signal, code) => {
    const server = await ServerProcess.start(folder);
    running.push(server);
    server.send(signal);
    expect(await server.ended()).toMatchObject({ code, signal: null });
  });

  it("comes at once with the second signal, whatever is still under way", async () => {
    const server = start(["--store", folder, "--port", "0"]);
    const [, port] = await server.says(/127\.0\.0\.1:(\d+) {2}/);
    const socket = connect(Number(port), "127.0.0.1");
    // A request whose body never comes holds up the drain.
    socket.write("POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
    await once(socket, "data");

    server.send("SIGTERM");
    await server.says(/Draining; once more exits at once/);
    server.send("SIGINT");

    // A drained SIGTERM would be 0.
    expect(await server.ended()).toMatchObject({ code: 130 });
    socket.destroy();
  });
});
