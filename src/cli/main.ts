#!/usr/bin/env node
import { CommanderError } from "commander";
import { EXIT } from "./exit.ts";
import { Output } from "./output.ts";
import { createProgram } from "./program.ts";

/** The `dibs` command. Says nothing itself: see one file per command. */
const words = process.argv.slice(2);

// `dibs tasks list | head` closes the pipe early; that is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.done);
  throw error;
});

try {
  await createProgram(words.includes("--json")).parseAsync(words, { from: "user" });
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what it had to say: help, the version or what is wrong.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  } else {
    new Output(words.includes("--json")).error(error);
    process.exitCode = EXIT.failed;
  }
}
// What is still open here (a socket kept alive, a pipe of a killed child) must not keep a finished command.
process.stdout.write("", () => process.stderr.write("", () => process.exit()));
