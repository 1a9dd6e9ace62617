import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the project, without a slash at its end. */
export const root = fileURLToPath(new URL("..", import.meta.url)).slice(0, -1);

export const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** All files of these folders, as paths from the root. */
export function filesIn(...folders: string[]): string[] {
  return folders.filter((folder) => existsSync(join(root, folder))).flatMap(filesInOne);
}

function filesInOne(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** `path:line text` for each line of the files that `isWrong` finds. */
export function linesWhere(
  paths: readonly string[],
  isWrong: (line: string, before: string) => boolean,
): string[] {
  return paths.flatMap((path) => {
    const lines = read(path).split("\n");
    const wrong = lines.flatMap((line, at) => (isWrong(line, lines[at - 1] ?? "") ? [at] : []));
    return wrong.map((at) => `${path}:${at + 1} ${lines[at]?.trim()}`);
  });
}
