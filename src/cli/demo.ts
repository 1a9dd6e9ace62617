import { statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { Config } from "../config.ts";
import { filesBelow, nodeFolders, projectFolder } from "./demo/files.ts";
import { CommandFailed, EXIT, type ExitCode, UsageError } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { count } from "./format.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs demo`: the whole of dibs on real input, with a worker killed half-way and an audit at the end. */
const FILES_WANTED = 10_000;

export function addDemo(dibs: Command): void {
  const command = dibs
    .command("demo [folder]")
    .summary("the whole of dibs on the files of a folder, with a worker killed half-way")
    .description(
      "Serves on a free port, enqueues a task for every file below the folder (default: this project with its " +
        "node_modules), lets three worker processes compute size and SHA-256 over HTTP, kills one of them half-way, " +
        "and checks every result against its own pass over the files. With --json it prints the audit.",
    )
    .option(
      "--store <place>",
      "where the tasks are: a folder, memory: or redis://… (default: a temporary folder)",
    )
    .action((folder: string | undefined, flags: SessionFlags) =>
      perform(flags, (session) => demo(session, folder, flags), { graceful: true }),
    );
  withHelp(
    withSettings(command, ["durability", "prefix"]),
    ["dibs demo", "dibs demo ~/photos --json", "dibs demo --store redis://127.0.0.1:6379"],
    "0 the audit passed, 1 it failed, 3 something could not be judged: the killed worker held nothing, files kept changing",
  );
}

async function demo(session: Session, folder: string | undefined, flags: SessionFlags): Promise<ExitCode> {
  const { runDemo } = await import("./demo/run.ts");
  const files = await chooseFiles(session, folder);
  const scratch = flags.store === undefined ? await mkdtemp(join(tmpdir(), "dibs-demo-")) : undefined;
  try {
    const audit = await runDemo(session, demoConfig(session.config, scratch), files);
    return { passed: EXIT.done, failed: EXIT.failed, "not judged": EXIT.incomplete }[audit.verdict];
  } catch (error) {
    if (session.signal.aborted) return EXIT.interrupted;
    throw error;
  } finally {
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  }
}

/** A server for this demo alone: nobody else's port, tokens or store. */
function demoConfig(config: Config, scratch: string | undefined): Config {
  const store = scratch === undefined ? config.store : ({ kind: "folder", folder: scratch } as const);
  return {
    ...config,
    store,
    host: "127.0.0.1",
    port: 0,
    tokens: [],
    insecure: false,
    logLevel: "error",
    processes: 1,
  };
}

async function chooseFiles({ output }: Session, folder: string | undefined): Promise<readonly string[]> {
  const own = resolve(folder ?? projectFolder());
  if (!statSync(own, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`${own} is not a folder`);
  let { files, unreadable } = await filesBelow([own]);
  output.note(`${count(files.length)} files below ${own}`);
  if (folder === undefined && files.length < FILES_WANTED) {
    const more = await filesBelow(nodeFolders());
    output.note(
      `${count(more.files.length)} files more from the Node installation, to make it work worth showing`,
    );
    files = [...files, ...more.files];
    unreadable = [...unreadable, ...more.unreadable];
  }
  if (unreadable.length > 0)
    output.note(`${count(unreadable.length)} folders cannot be read and are left out`);
  if (files.length === 0) throw new CommandFailed(`There are no files below ${own}`);
  if (files.length < FILES_WANTED)
    output.note(`That is a small demo: ${count(FILES_WANTED)} files or more show more.`);
  return files;
}
