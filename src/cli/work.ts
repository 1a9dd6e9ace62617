import type { Command } from "commander";
import { childEnvironment } from "../config.ts";
import { Refuse } from "../sdk/errors.ts";
import type { TaskContext, TaskHandler } from "../sdk/task-handler.ts";
import type { Worker } from "../sdk/worker.ts";
import { ForbiddenError, UnauthorizedError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import type { ExitCode } from "./exit.ts";
import { present, wholeNumber, withHelp, withTarget } from "./flags.ts";
import { duration } from "./format.ts";
import type { Output } from "./output.ts";
import {
  exitCodeAfter,
  Interrupted,
  interruption,
  perform,
  type Session,
  type SessionFlags,
} from "./session.ts";
import { runShell, type ShellEnd } from "./shell-command.ts";
import { plain } from "./table.ts";

/** `dibs work --exec`: a shell command for each task, so that a worker needs no program. */
interface WorkFlags extends SessionFlags {
  readonly exec: string;
  readonly concurrency: number;
  readonly leaseMs?: number;
  readonly timeoutMs?: number;
  readonly worker?: string;
}

/** The exit code with which a command says that a retry is useless. */
const REFUSED = 100;
/** Room for `Exit code 255: ` before the tail of stderr. */
const STDERR_BYTES_MAX = LIMITS.errorBytesMax - 64;
/** Longer than the ten seconds after which a command that ignores SIGTERM is killed. */
const GRACE_MS = 12_000;

export function addWork(dibs: Command): void {
  const command = dibs
    .command("work <queues...>")
    .summary("run a shell command for each task")
    .description(
      "Runs a shell command for each task of the queues, which are tried in this order.\n\n" +
        "The payload comes on stdin as a line of JSON. DIBS_TASK_ID, DIBS_ATTEMPT, DIBS_FENCE and DIBS_QUEUE stand " +
        "in the environment. Exit code 0 completes the task with stdout as its result: JSON when it parses, else " +
        "text, at most 1 MiB. 100 refuses the task to the dead letters. Another code is a failed attempt, with the " +
        "end of stderr as its error.\n\n" +
        "The lease is renewed while the command runs. When it is lost, and on Ctrl-C, the command's process group " +
        "gets SIGTERM, and SIGKILL after 10 s. On Ctrl-C the task is handed back and its attempt is not counted.",
    )
    .requiredOption("--exec <command>", "what to run, by the shell")
    .option("--concurrency <number>", "commands at a time", wholeNumber, 1)
    .option("--lease-ms <ms>", "lease asked for (default: the queue's)", wholeNumber)
    .option("--timeout-ms <ms>", "limit for one attempt (default: none)", wholeNumber)
    .option("--worker <label>", "shown with the lease (default: host:pid)");
  withHelp(
    withTarget(command),
    [
      `dibs work emails --exec './send-mail.sh'`,
      `dibs work renders thumbnails --exec 'jq -r .url | xargs ./render' --concurrency 4`,
    ],
    "0 after SIGTERM, 130 after Ctrl-C: it works until it is told to stop",
  ).action((queues: string[], flags: WorkFlags) =>
    perform(flags, (session) => work(session, queues, flags), { graceful: true, makesStore: true }),
  );
}

async function work(session: Session, queues: readonly string[], flags: WorkFlags): Promise<ExitCode> {
  const [{ Worker }, { TIMINGS }, { defineTask }] = await Promise.all([
    import("../sdk/worker.ts"),
    import("../sdk/worker-options.ts"),
    import("../sdk/definition.ts"),
  ]);
  const handlers: TaskHandler[] = queues.map((queue) =>
    defineTask({ queue }).handler((context) => runTask(flags.exec, context)),
  );
  const { concurrency, leaseMs, timeoutMs, worker: label } = flags;
  const options = { concurrency, drainMs: 0, ...present({ leaseMs, timeoutMs, worker: label }) };
  // An attempt ends when its command has: else somebody else could start the task while it still runs here.
  const timings = { ...TIMINGS, graceMs: GRACE_MS, stuckMs: GRACE_MS };
  const worker = new Worker(await session.connection(), handlers, options, timings);
  report(worker, session.output);
  const ended = Promise.race([interruption(session.signal), turnedAway(worker)]);
  worker.start();
  session.output.note(`Working on ${queues.join(", ")}; Ctrl-C stops.`);
  const reason = await ended;
  session.output.note("Stopping: running commands get 10 s to end, their tasks are handed back.");
  await worker.close();
  if (reason instanceof Interrupted) return exitCodeAfter(reason);
  throw reason;
}

/** A server that is away comes back; one that does not let us in stays as it is. */
function turnedAway(worker: Worker): Promise<Error> {
  return new Promise((resolve) => {
    worker.on("error", (error) => {
      if (error instanceof UnauthorizedError || error instanceof ForbiddenError) resolve(error);
    });
  });
}

async function runTask(command: string, { task, signal, fence, attempt }: TaskContext): Promise<unknown> {
  const end = await runShell({
    command,
    input: `${JSON.stringify(task.payload ?? null)}\n`,
    env: childEnvironment({
      DIBS_TASK_ID: task.id,
      DIBS_ATTEMPT: `${attempt}`,
      DIBS_FENCE: `${fence}`,
      DIBS_QUEUE: task.queue,
    }),
    signal,
    stdoutBytesMax: LIMITS.payloadBytesMax,
    stderrBytesMax: STDERR_BYTES_MAX,
  });
  signal.throwIfAborted();
  if (end.kind === "exited" && end.code === 0) return resultOf(end.stdout);
  throw end.code === REFUSED ? refusalOf(end) : failureOf(end);
}

/** JSON when it parses, else the text without its last line end; nothing when there is none. */
function resultOf(stdout: string): unknown {
  const text = stdout.replace(/\r?\n$/, "");
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function refusalOf(end: ShellEnd): Refuse {
  const refuse = new Refuse(
    end.stderrTail === "" ? `the command ended with exit code ${REFUSED}` : end.stderrTail,
  );
  refuse.name = "Refused";
  refuse.stack = "";
  return refuse;
}

/** Our own stack says nothing about the command, so it does not go into the task's error. */
function failureOf(end: ShellEnd): Error {
  const error = new Error(end.stderrTail === "" ? "nothing was written to stderr" : end.stderrTail);
  error.name = nameOf(end);
  error.stack = "";
  return error;
}

function nameOf(end: ShellEnd): string {
  if (end.kind === "overflow") return `More than ${LIMITS.payloadBytesMax} bytes on stdout`;
  return end.killedBy === undefined ? `Exit code ${end.code}` : `Killed by ${end.killedBy}`;
}

function report(worker: Worker, output: Output): void {
  const tell = (event: string, text: string, fields: object) => {
    output.emit({ event, ...fields });
    output.print(text);
  };
  worker.on("completed", ({ task, ranMs }) => {
    const { id, attempt } = task;
    tell("completed", `${id} completed in ${duration(ranMs)}`, { id, attempt, ranMs });
  });
  worker.on("failed", ({ task, error, state, ranMs }) => {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const { id, attempt } = task;
    tell("failed", `${id} failed in ${duration(ranMs)}, now ${state}: ${plain(message)}`, {
      id,
      attempt,
      state,
      message,
      ranMs,
    });
  });
  worker.on("lease-lost", ({ task, reason }) => {
    const { id, attempt } = task;
    tell("lease-lost", `${id} lost: ${reason.message}`, {
      id,
      attempt,
      code: reason.code,
      message: reason.message,
    });
  });
  worker.on("error", (error) => output.warn(error.message));
  worker.on("reconnected", ({ awayMs }) => output.note(`Connected again after ${duration(awayMs)}.`));
}
