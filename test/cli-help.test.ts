import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram } from "../src/cli/program.ts";
import { dibs } from "./command.ts";

/** The commands of a program that do something, with their words. */
function* leaves(command: Command, words: readonly string[] = []): Generator<readonly [string, Command]> {
  const commands = command.commands.filter((each) => each.name() !== "help" && !isHidden(each));
  if (commands.length === 0) yield [words.join(" "), command];
  for (const each of commands) yield* leaves(each, [...words, each.name()]);
}

function isHidden(command: Command): boolean {
  return (command as unknown as { _hidden: boolean })._hidden;
}

const ALL = [...leaves(createProgram())];

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (more) => {
      text += more;
    },
  });
  command.outputHelp();
  return text;
}

describe("the commands", () => {
  it("are those of the documented surface", () => {
    expect(ALL.map(([words]) => words)).toEqual([
      "serve",
      "enqueue",
      "work",
      "queues list",
      "queues show",
      "queues set",
      "queues pause",
      "queues resume",
      "queues purge",
      "tasks list",
      "tasks show",
      "tasks result",
      "tasks cancel",
      "tasks release",
      "tasks requeue",
      "dead list",
      "dead requeue",
      "ladder",
      "move",
      "bench claim",
      "bench cycle",
      "bench wake",
      "bench enqueue",
      "bench complete",
      "compare",
      "doctor",
      "load",
      "profile claim",
      "store verify",
      "store salvage",
      "store backup",
      "demo",
    ]);
  });

  it.each(ALL)("explain %s with an example and its exit codes", (words, command) => {
    const help = helpOf(command);

    expect(help).toContain(`Usage: dibs ${words}`);
    expect(help).toMatch(new RegExp(`Examples:\\n(.*\\n)*?.*dibs ${words}`));
    expect(help).toMatch(
      /Exit codes:\n {2}0 done {3}1 failed {3}2 usage {3}3 not judged or incomplete {3}130 interrupted/,
    );
    expect(help).toMatch(/^ {2}--json /m);
    expect(help).toMatch(/^ {2}--config /m);
    // A move names its two stores by position, and so do those that look after a folder.
    const namesPlaces =
      words === "move" || words === "doctor" || words === "load" || /^(store|bench|profile) /.test(words);
    if (!namesPlaces) expect(help).toMatch(/^ {2}--store /m);
    if (!namesPlaces && !["serve", "compare", "demo", "ladder"].includes(words))
      expect(help).toMatch(/--url <address>[\s\S]*DIBS_URL/);
  });
});

describe("docs/cli.md", () => {
  it("says what every command prints with --json", () => {
    const rows = readFileSync(new URL("../docs/cli.md", import.meta.url), "utf8")
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .join("\n");
    for (const [words] of ALL) expect(rows).toContain(`\`${words}\``);
  });
});

describe("dibs without work to do", () => {
  it("shows its version", async () => {
    expect(await dibs(["--version"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      stderr: "",
    });
  });

  it("shows its help, and how to begin", async () => {
    const { code, stdout } = await dibs(["--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Start with: dibs serve");
  });

  it("takes no command at all as a question", async () => {
    const { code, stdout, stderr } = await dibs([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("Usage: dibs");
  });
});

describe("a wrong command line", () => {
  it.each([
    [["frob"], /unknown command 'frob'/],
    [["enqueu", "q"], /Did you mean enqueue\?/],
    [["queues", "list", "--jsn"], /Did you mean --json\?/],
    [["queues", "list", "more"], /too many arguments/],
    [["enqueue"], /missing required argument 'queue'/],
    [["enqueue", "q", "1", "--priority", "high"], /'high' is invalid. Expected a whole number/],
    [["enqueue", "q", "1", "--backoff", "cubic"], /Allowed choices are fixed, linear, exponential/],
    [["enqueue", "q", "1", "--tag", "novalue"], /Expected key=value/],
    [["enqueue", "q", "1", "--tasks"], /--tasks is about the lines of stdin/],
    [
      ["enqueue", "q", "-", "--idempotency-key", "k"],
      /one --idempotency-key would make one task of all lines/,
    ],
    [["enqueue", "q", "{to:1}"], /The payload is not JSON.*quote it for the shell/],
    [["work", "q"], /required option '--exec <command>' not specified/],
    [["queues", "purge", "q"], /required option '--state <state>' not specified/],
    [["queues", "purge", "q", "--state", "leased"], /Expected --state to be one of scheduled, ready,/],
    [["queues", "set", "q"], /Nothing to set/],
    [["tasks", "release", "q~0123456789abcdef"], /add --force/],
    [["queues", "list", "--url", "http://127.0.0.1:1", "--store", "./x"], /name two places/],
    [["queues", "list", "--url", "nowhere"], /Expected --url to be an http/],
    [["serve", "--port", "70000"], /Expected --port to be a whole number from 0 to 65535, got "70000"/],
    [["serve", "--store", "redis://a,b"], /names several servers: say redis\+cluster:\/\//],
    [["serve", "--store", "redis://x", "--durability", "power"], /durability is Redis's own/],
    [["serve", "--processes", "2"], /--processes to be 1 while the store is a folder/],
    [["queues", "list", "--prefix", "mail"], /--prefix to be left out: it is for a redis:\/\/ store/],
    [["serve", "--host", "0.0.0.0"], /set DIBS_TOKENS, or say --insecure/],
  ])("dibs %j exits with 2 and says why", async (args, why) => {
    const { code, stdout, stderr } = await dibs(args);

    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(why);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  it.each([[["frob", "--json"]], [["serve", "--json", "--port", "x"]]])(
    "is told in JSON with --json: %j",
    async (args) => {
      const { code, stdout, stderr } = await dibs(args);

      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(JSON.parse(stderr)).toMatchObject({
        error: { code: expect.any(String), message: expect.any(String) },
      });
    },
  );
});

describe("settings", () => {
  it("that are not known stop every command", async () => {
    const { code, stderr } = await dibs(["queues", "list"], { env: { DIBS_PROT: "1" } });
    expect(code).toBe(2);
    expect(stderr).toBe("dibs: Unknown variable: DIBS_PROT. Did you mean DIBS_PORT? (invalid_request)\n");
  });

  it("of a Kubernetes service are ignored, with a warning", async () => {
    const env = { DIBS_PORT: "tcp://10.0.0.7:4510", DIBS_URL: "http://127.0.0.1:1" };
    const { code, stderr } = await dibs(["queues", "list"], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^dibs: warning: Ignored DIBS_PORT: Kubernetes sets such variables/);
  });
});

describe("a server that does not run", () => {
  it("is named, with the way to start one", async () => {
    const { code, stdout, stderr } = await dibs(["queues", "list", "--url", "http://127.0.0.1:1"]);

    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("http://127.0.0.1:1");
    expect(stderr).toContain("Start a server with `dibs serve`");
    expect(stderr).toContain("(connection_lost)");
  });
});
