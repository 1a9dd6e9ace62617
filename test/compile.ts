import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./source-tree.ts";

const run = promisify(execFile);

/**
 * Compiles TypeScript files of a user's folder to JavaScript beside them, with the strictness that the package
 * asks of itself. Gives what the compiler complains of.
 */
export async function compile(folder: string, ...files: readonly string[]): Promise<string> {
  const options = {
    module: "nodenext",
    target: "es2022",
    strict: true,
    skipLibCheck: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noPropertyAccessFromIndexSignature: true,
    erasableSyntaxOnly: true,
    typeRoots: [join(root, "node_modules/@types")],
    types: ["node"],
  };
  await writeFile(
    join(folder, "package.json"),
    JSON.stringify({ name: "mine", private: true, type: "module" }),
  );
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  return run(process.execPath, [tsc, "-p", folder], { cwd: folder }).then(
    () => "",
    (error: { stdout: string }) => error.stdout,
  );
}
