import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A revision that was built aside. */
export interface Build {
  /** As the user named it. */
  readonly label: string;
  /** Full hash. */
  readonly commit: string;
  /** `index.js` of the package. */
  readonly entry: string;
  /** The `dibs` command. */
  readonly command: string;
}

export interface BuildOptions {
  /** A folder in a checkout of Dibs. */
  readonly folder: string;
  readonly onStep?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** There is no such revision, or no checkout that could have one. */
export class UnknownRevision extends Error {}

/** A revision cannot be built; the message says why. */
export class RevisionError extends Error {}

/** Builds of revisions in work trees of their own, in a temporary folder; the checkout itself is not touched. */
export class Revisions {
  readonly builds: readonly Build[];
  readonly #repository: string;
  readonly #folder: string;

  private constructor(repository: string, folder: string, builds: readonly Build[]) {
    this.#repository = repository;
    this.#folder = folder;
    this.builds = builds;
  }

  /** One build for each name, in order; names of one commit share theirs. @throws {UnknownRevision} @throws {RevisionError} */
  static async build(names: readonly string[], options: BuildOptions): Promise<Revisions> {
    const repository = await repositoryOf(options);
    const commits = await Promise.all(names.map((name) => commitOf(repository, name, options)));
    const folder = await realpath(await mkdtemp(join(tmpdir(), "dibs-revisions-")));
    const builds: Build[] = [];
    const revisions = new Revisions(repository, folder, builds);
    try {
      for (const [place, label] of names.entries()) {
        const commit = commits[place] as string;
        const same = builds.find((build) => build.commit === commit);
        builds.push(same === undefined ? await revisions.#add(label, commit, options) : { ...same, label });
      }
      return revisions;
    } catch (error) {
      await revisions.remove();
      throw error;
    }
  }

  /** Removes the work trees and all that was built. */
  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
    // Git forgets a work tree whose folder has gone.
    await git(this.#repository, ["worktree", "prune"]);
  }

  async #add(label: string, commit: string, options: BuildOptions): Promise<Build> {
    const tree = join(this.#folder, commit.slice(0, 12));
    options.onStep?.(`building ${label} (${commit.slice(0, 10)})`);
    await git(this.#repository, ["worktree", "add", "--detach", "--force", tree, commit], options);
    if (!existsSync(join(tree, "scripts", "build.mjs"))) {
      throw new RevisionError(
        `Revision ${label} has no scripts/build.mjs: it is no revision of Dibs that can be built`,
      );
    }
    const built = (await linkPackages(this.#repository, tree))
      ? await run(process.execPath, ["--input-type=module", "--eval", BUILD_ONLY], { cwd: tree, ...options })
      : await run(process.execPath, ["scripts/build.mjs"], { cwd: tree, ...options });
    const entry = join(tree, "dist", "index.js");
    if (built.code !== 0 || !existsSync(entry)) {
      throw new RevisionError(`Revision ${label} does not build:\n${built.output.trim()}`);
    }
    return { label, commit, entry, command: join(tree, "dist", "cli", "main.js") };
  }
}

/** The build without its look at the packages, which here belong to another work tree: it must not put them right. */
const BUILD_ONLY =
  'const { runSteps, steps } = await import("./scripts/steps.mjs"); await runSteps([steps.dist]);';

/** Lends the packages of the checkout where they are the same by the lock; false where they are not. */
async function linkPackages(repository: string, tree: string): Promise<boolean> {
  const packages = join(repository, "node_modules");
  const [ours, theirs] = await Promise.all([repository, tree].map((root) => readLock(root)));
  if (ours === undefined || ours !== theirs || !existsSync(packages)) return false;
  await symlink(packages, join(tree, "node_modules"), "junction");
  return true;
}

async function readLock(root: string): Promise<string | undefined> {
  const path = join(root, "package-lock.json");
  return existsSync(path) ? readFile(path, "utf8") : undefined;
}

async function repositoryOf({ folder, signal }: BuildOptions): Promise<string> {
  const { code, output } = await run("git", ["rev-parse", "--show-toplevel"], {
    cwd: folder,
    ...(signal !== undefined && { signal }),
  });
  if (code !== 0) throw new UnknownRevision(`${folder} is in no checkout: --rev builds revisions of one`);
  return output.trim();
}

async function commitOf(repository: string, name: string, options: BuildOptions): Promise<string> {
  const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`];
  const { code, output } = await run("git", args, { cwd: repository, ...options });
  if (code !== 0) throw new UnknownRevision(`There is no revision ${name} in ${repository}`);
  return output.trim();
}

async function git(
  cwd: string,
  args: readonly string[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const { code, output } = await run("git", args, { cwd, ...(signal !== undefined && { signal }) });
  if (code !== 0) throw new RevisionError(`git ${args.slice(0, 2).join(" ")} failed: ${output.trim()}`);
}

interface Ended {
  readonly code: number | null;
  /** Of stdout and stderr. */
  readonly output: string;
}

/** Runs a program to its end. @throws the signal's reason when it aborts; the program and its children have ended then. */
async function run(
  file: string,
  args: readonly string[],
  { cwd, signal }: { readonly cwd: string; readonly signal?: AbortSignal },
): Promise<Ended> {
  signal?.throwIfAborted();
  // A group of its own: a compiler that a script started must end with it.
  const child = spawn(file, args, { cwd, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const end = () => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  };
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  signal?.addEventListener("abort", end, { once: true });
  try {
    const [code] = (await once(child, "close")) as [number | null];
    signal?.throwIfAborted();
    return { code, output };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new RevisionError(`${file} is not on PATH`);
    }
    throw error;
  } finally {
    signal?.removeEventListener("abort", end);
  }
}
