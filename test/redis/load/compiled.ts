import { execFile } from "node:child_process";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { root } from "../../source-tree.ts";

let compiling: Promise<void> | undefined;

/** Compiles the participants for Node, once; a process of its own cannot run them as they stand. */
export function compiled(): Promise<void> {
  compiling ??= compile();
  return compiling;
}

async function compile(): Promise<void> {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", fileURLToPath(new URL(".", import.meta.url))]);
  const scripts = "src/storage/redis/scripts";
  await cp(join(root, scripts), join(root, "build.participants", scripts), { recursive: true });
}
