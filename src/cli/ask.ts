import { UsageError } from "./exit.ts";
import type { Session } from "./session.ts";

/**
 * Asks a yes-or-no question on the terminal; anything but yes is no.
 * @throws {UsageError} when nobody is there to be asked: `instead` says what to add to the command line.
 */
export async function agreed(
  session: Session,
  ask: () => string | Promise<string>,
  instead: string,
): Promise<boolean> {
  if (process.stdin.isTTY !== true || session.output.json)
    throw new UsageError(`Nobody is there to be asked: ${instead}`);
  const question = await ask();
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // While readline holds the terminal, Ctrl-C is a key and no signal.
  terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    return /^y(es)?$/i.test(
      (await terminal.question(`${question} [y/N] `, { signal: session.signal })).trim(),
    );
  } finally {
    terminal.close();
  }
}
