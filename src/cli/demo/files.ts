import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Which files the demo works on. */
export interface FilesFound {
  /** Absolute paths of regular files, sorted. Symbolic links are not followed. */
  readonly files: readonly string[];
  /** Folders that could not be read. */
  readonly unreadable: readonly string[];
}

/** Version control changes under our feet, and so does a store that a server has open. */
const LEFT_OUT: ReadonlySet<string> = new Set([".git", ".hg", ".svn"]);
const JOURNAL = /^journal-\d+\.log$/;

/** Every regular file below the folders. A folder that holds a dibs store, or version control, is left out. */
export async function filesBelow(folders: readonly string[]): Promise<FilesFound> {
  const files: string[] = [];
  const unreadable: string[] = [];
  const waiting = [...folders];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = await entriesOf(folder, unreadable);
    if (entries.some((entry) => JOURNAL.test(entry.name))) continue;
    for (const entry of entries) {
      if (entry.isFile()) files.push(join(folder, entry.name));
      else if (entry.isDirectory() && !LEFT_OUT.has(entry.name)) waiting.push(join(folder, entry.name));
    }
  }
  return { files: files.sort(), unreadable };
}

async function entriesOf(folder: string, unreadable: string[]): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch {
    // Reported as a number at the end: a folder of somebody else's below ours is no reason to stop.
    unreadable.push(folder);
    return [];
  }
}

/** The project that this command belongs to: its clone, or the project that has dibs as a dependency. */
export function projectFolder(): string {
  const packageFolder = fileURLToPath(new URL("../../..", import.meta.url)).replace(/[/\\]$/, "");
  const parent = dirname(packageFolder);
  return basename(parent) === "node_modules" ? dirname(parent) : packageFolder;
}

/** Files that come with Node itself: npm and the headers. Added when a project has too few of its own. */
export function nodeFolders(): readonly string[] {
  const installation = dirname(dirname(process.execPath));
  return [join(installation, "lib", "node_modules"), join(installation, "include", "node")];
}
