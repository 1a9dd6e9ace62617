import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProgram } from "../src/cli/program.ts";
import { ROUTES } from "../src/protocol/routes.ts";
import { ServerProcess } from "./command.ts";
import { compile } from "./compile.ts";
import { blocksIn, rowsUnder, sectionOf } from "./markdown.ts";
import { userFolder } from "./program.ts";
import { filesIn, read, root } from "./source-tree.ts";

// What documents name must be there: commands with their flags, routes, metrics, files and headings.
const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...filesIn("docs"),
].filter((path) => path.endsWith(".md"));

/** Each thing found, with the document it stands in. */
function found(pattern: RegExp, paths: readonly string[] = documents): [document: string, text: string][] {
  return paths.flatMap((path) =>
    [...read(path).matchAll(pattern)].map(([, text]): [string, string] => [path, text as string]),
  );
}

describe("the commands that documents print", () => {
  const inline = found(/`((?:npx )?dibs [^`\n]+)`/g);
  const lines = documents.flatMap((path) =>
    ["bash", "sh"].flatMap((language) =>
      blocksIn(read(path), language).flatMap((block) =>
        [...block.matchAll(/(?:^|\| |\$\()((?:npx )?dibs [^\n]+)/gm)].map(([, text]): [string, string] => [
          path,
          text as string,
        ]),
      ),
    ),
  );

  it("exist, with their arguments and flags", () => {
    const printed = [...inline, ...lines];
    const wrong = printed.flatMap(([path, line]) => {
      const fault = faultIn(wordsOf(line.replace(/^npx /, "")).slice(1));
      return fault === undefined ? [] : [`${path}: ${line}: ${fault}`];
    });

    expect(wrong).toEqual([]);
    expect(printed.length).toBeGreaterThan(30); // The patterns find commands at all.
    expect(faultIn(["queues", "burn", "emails"])).toBe("there is no such command");
    expect(faultIn(["queues", "show", "emails", "--burn"])).toBe("it has no --burn");
  });
});

/** The words of a shell line up to where the next command or file begins. */
function wordsOf(line: string): string[] {
  const words = line.match(/'[^']*'|"[^"]*"|[|;&>)]|[^\s|;&>)]+/g) ?? [];
  const end = words.findIndex((word) => /^([|;&>)]|#.*)$/.test(word));
  return end === -1 ? words : words.slice(0, end);
}

/** What is wrong with the words after `dibs`. */
function faultIn(words: readonly string[]): string | undefined {
  let command: Command = createProgram();
  const rest = [...words];
  while (command.commands.length > 0 && rest[0] !== undefined && !rest[0].startsWith("-")) {
    const next = command.commands.find((each) => each.name() === rest[0]);
    if (next === undefined) return "there is no such command";
    command = next;
    rest.shift();
  }
  const operands: string[] = [];
  while (rest.length > 0) {
    const word = rest.shift() as string;
    if (word === "--help" || word === "--version") return undefined;
    if (!/^-[-a-z]/.test(word)) operands.push(word);
    else {
      const name = word.split("=")[0];
      const option = command.options.find(({ long, short }) => long === name || short === name);
      if (option === undefined) return `it has no ${word}`;
      if (option.required && !word.includes("=")) rest.shift();
    }
  }
  // A name alone, as in a sentence, need not have its arguments.
  if (operands.length === 0) return undefined;
  const takes = command.registeredArguments;
  if (operands.length > takes.length && !takes.at(-1)?.variadic) return `it takes ${takes.length} arguments`;
  return undefined;
}

describe("the routes that documents print", () => {
  it("exist", () => {
    const routes = Object.values(ROUTES).map(({ path }) => path.replace(/\{\w+\}/g, "*"));
    const printed = found(/(\/(?:v1\/[\w/{}$<>.-]+|healthz|readyz|metrics|openapi\.json)\b\}?)/g);
    const general = (path: string) =>
      path.replace(/(\{\w+\}|\$\w+|<\w+>)/g, "*").replace(/\/(emails|digests)(?=\/|$)/, "/*");

    expect(printed.filter(([, path]) => !routes.includes(general(path)))).toEqual([]);
    expect(printed.length).toBeGreaterThan(20);
  });
});

describe("the metrics that documents name", () => {
  let server: ServerProcess;
  let exposed: string;

  beforeAll(async () => {
    server = await ServerProcess.start("memory:");
    const ask = (path: string, body: object) =>
      fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });
    await ask("/v1/tasks", { queue: "emails" });
    await ask("/v1/claims", { queues: ["emails"] });
    exposed = await (await fetch(`${server.url}/metrics`)).text();
  });

  afterAll(() => server.stop());

  const families = () => [...exposed.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name as string);
  const familyOf = (name: string) =>
    families().includes(name) ? name : name.replace(/_(bucket|sum|count)$/, "");

  it("are exposed", () => {
    // In a grep's pattern a name ends in the middle.
    const printed = documents.flatMap((path) =>
      [...read(path).matchAll(/(?<![\w/])(dibs_[a-z_]+[a-z])(?![a-z_(|])/g)].map(([, name]) => [
        path,
        name as string,
      ]),
    );

    expect(printed.filter(([, name]) => !families().includes(familyOf(name as string)))).toEqual([]);
    expect(printed.length).toBeGreaterThan(40);
  });

  it("have the labels by which they are selected", () => {
    const selected = documents.flatMap((path) =>
      [...read(path).matchAll(/(dibs_[a-z_]+)\{(\w+)=/g)].map(
        ([, name, label]) => [name as string, label as string] as const,
      ),
    );
    const has = ([name, label]: readonly [string, string]) =>
      new RegExp(`^${name}\\{([^}]*,)?${label}="`, "m").test(exposed);

    expect(selected.filter((each) => !has(each))).toEqual([]);
    expect(selected.length).toBeGreaterThan(1);
  });

  it("are all in the table of docs/operations.md, with their labels", () => {
    const rows = rowsUnder(sectionOf(read("docs/operations.md"), "Metrics"));
    const namesIn = (cell = "") => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name as string);
    const labels = new Map(rows.map(([name, cell]) => [namesIn(name)[0], namesIn(cell)]));
    const labelsOf = (family: string) => {
      const sample = new RegExp(`^${family}(?:_count)?\\{([^}]*)\\}`, "m").exec(exposed)?.[1] ?? "";
      return [...sample.matchAll(/(\w+)="/g)].map(([, label]) => label);
    };

    expect([...labels.keys()].sort()).toEqual(families().sort());
    for (const family of families()) expect([family, labels.get(family)]).toEqual([family, labelsOf(family)]);
  });
});

describe("the programs of docs/from-*.md and docs/scaling.md", () => {
  it("compile as they are printed", async () => {
    const user = await userFolder();
    const mail =
      "export declare function send(to: string, options?: { signal?: AbortSignal }): Promise<string>;";
    await writeFile(join(user.path, "mail.d.ts"), mail);
    const guides = documents.filter((path) => /^docs\/(from-|scaling)/.test(path));
    const programs = guides.flatMap((path) => blocksIn(read(path), "ts"));
    const names = programs.map((_, at) => `program-${at}.ts`);
    for (const [at, program] of programs.entries())
      await writeFile(join(user.path, names[at] as string), program);

    const complaints = await compile(user.path, ...names);
    await user.remove();

    expect(complaints).toBe("");
    expect([guides.length, programs.length]).toEqual([4, 4]);
  });
});

describe("the links of documents", () => {
  const links = found(/\]\(([^)\s]+)\)/g).filter(([, target]) => !/^[a-z]+:/.test(target));

  it("lead to files that are there, and to headings in them", () => {
    const broken = links.filter(([path, target]) => {
      const [file = "", anchor] = target.split("#");
      const place = file === "" ? path : normalize(join(dirname(path), file));
      if (!existsSync(join(root, place))) return true;
      return anchor !== undefined && !anchorsOf(place).includes(anchor);
    });

    expect(broken).toEqual([]);
    expect(links.length).toBeGreaterThan(30);
  });

  /** The anchors that the headings of a document get. */
  function anchorsOf(path: string): string[] {
    return [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      (title as string)
        .toLowerCase()
        .replace(/[^\p{Letter}\p{Number} _-]/gu, "")
        .replaceAll(" ", "-"),
    );
  }
});
