import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Where a result comes from: two results may be compared only when these agree. */
export interface Environment {
  readonly cpuModel: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly os: string;
  readonly node: string;
  readonly v8: string;
  readonly dibs: string;
  /** Full hash; null outside a checkout. */
  readonly commit: string | null;
  /** True when tracked files differ from the commit: such a result cannot be repeated. */
  readonly dirty: boolean;
  /** Average number of running processes over the last minute, when the run began. */
  readonly load1: number;
}

/** Reads what does not change during a run. */
export async function readEnvironment(): Promise<Environment> {
  const root = projectRoot();
  const models = new Set(cpus().map((cpu) => cpu.model.trim()));
  return {
    cpuModel: [...models].join(", ") || "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    os: `${type()} ${release()} ${arch()}`,
    node: process.versions.node,
    v8: process.versions.v8,
    dibs: versionOf(root),
    commit: (await git(root, "rev-parse", "HEAD")) ?? null,
    dirty: ((await git(root, "status", "--porcelain", "--untracked-files=no")) ?? "") !== "",
    load1: loadavg()[0] ?? 0,
  };
}

/** The folder of the package that this file belongs to, also when it was compiled into a folder of its own. */
function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

function versionOf(root: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const version = (manifest as { version?: unknown }).version;
  return typeof version === "string" ? version : "unknown";
}

/** What git answers, or undefined where there is no git or no checkout. */
async function git(folder: string, ...args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("git", ["-C", folder, ...args]);
    return stdout.trim();
  } catch {
    // An installed package has no history; the report then says that the commit is unknown.
    return undefined;
  }
}
