import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addBench } from "./bench.ts";
import { addCompare } from "./compare.ts";
import { addDead } from "./dead.ts";
import { addDemo } from "./demo.ts";
import { addDemoWorker } from "./demo-worker.ts";
import { addDoctor } from "./doctor.ts";
import { addEnqueue } from "./enqueue.ts";
import { EXIT_CODES_HELP } from "./exit.ts";
import { addLadder } from "./ladder.ts";
import { addLoad } from "./load.ts";
import { addMove } from "./move.ts";
import { addProfile } from "./profile.ts";
import { addQueues } from "./queues.ts";
import { addServe } from "./serve.ts";
import { addStore } from "./store.ts";
import { addTasks } from "./tasks.ts";
import { addWork } from "./work.ts";

/** All commands. With `json`, what Commander has to say about a wrong command line is JSON too. */
export function createProgram(json = false): Command {
  const dibs = new Command("dibs")
    .description("A task queue whose workers call dibs: one round trip later they own a task under a lease.")
    .version(version(), "-V, --version")
    .exitOverride()
    .showHelpAfterError("(add --help for the flags and an example)")
    .addHelpText("after", `\n${EXIT_CODES_HELP}\n\nStart with: dibs serve`);
  if (json) {
    dibs.showHelpAfterError(false).configureOutput({
      outputError: (text, write) =>
        write(
          `${JSON.stringify({ error: { code: "usage", message: text.replace(/^error: /, "").trim() } })}\n`,
        ),
    });
  }
  for (const add of [
    addServe,
    addEnqueue,
    addWork,
    addQueues,
    addTasks,
    addDead,
    addLadder,
    addMove,
    addBench,
    addCompare,
    addDoctor,
    addLoad,
    addProfile,
    addStore,
    addDemo,
    addDemoWorker,
  ])
    add(dibs);
  return dibs;
}

/** The version of the package. */
export function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
