import { cp, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** A build as it lies on the disk. */
export interface BuildFiles {
  readonly entry: string;
  readonly command: string;
}

/** Where every claim passes, whatever the store and the door: in the compiled broker. */
const CLAIM = "claim(request, signal) {";

/**
 * A copy of a build whose every claim takes longer by so many microseconds, spent on the CPU: what a careless change of
 * the claim path does. `folder` must not be there yet; `packages` is a `node_modules`.
 */
export async function slowedBuild(
  build: BuildFiles,
  { folder, packages, delayUs }: { folder: string; packages: string; delayUs: number },
): Promise<BuildFiles> {
  const dist = dirname(build.entry);
  await cp(dist, join(folder, "dist"), { recursive: true });
  await symlink(packages, join(folder, "node_modules"), "junction");
  await writeFile(join(folder, "package.json"), '{"name":"dibs","version":"0.0.0","type":"module"}\n');
  const broker = join(folder, "dist", "broker", "broker.js");
  const source = await readFile(broker, "utf8");
  const parts = source.split(CLAIM);
  if (parts.length !== 2) {
    throw new Error(
      `Expected one "${CLAIM}" in ${broker}, found ${parts.length - 1}: the claim path has moved`,
    );
  }
  const spin = `const until = performance.now() + ${delayUs / 1_000}; while (performance.now() < until);`;
  await writeFile(broker, parts.join(`${CLAIM} ${spin}`));
  return { entry: join(folder, "dist", "index.js"), command: join(folder, "dist", "cli", "main.js") };
}
