import type { Command } from "commander";
import type { EnqueueAnswer, EnqueueBody } from "../protocol/messages.ts";
import { memberText } from "../protocol/source.ts";
import type { EnqueueItem } from "../sdk/connection.ts";
import { InvalidRequestError } from "../task/errors.ts";
import { enqueueLines } from "./enqueue-lines.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import {
  type BackoffFlags,
  backoffOf,
  present,
  tag,
  wholeNumber,
  withBackoff,
  withHelp,
  withTarget,
} from "./flags.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs enqueue`: one task from the command line, or one for each line of stdin. */
interface EnqueueFlags extends SessionFlags, BackoffFlags {
  readonly priority?: number;
  readonly delayMs?: number;
  readonly runAt?: string;
  readonly maxAttempts?: number;
  readonly idempotencyKey?: string;
  readonly tag?: Readonly<Record<string, string>>;
  readonly tasks?: boolean;
}

export function addEnqueue(dibs: Command): void {
  const command = dibs
    .command("enqueue <queue> [payload]")
    .summary("add a task, or one for each line of stdin")
    .description(
      "Adds a task. The payload is JSON; left out, it is null.\n\n" +
        "With - it adds a task for each line of stdin, in order. A line is a payload, or with --tasks an object with " +
        "the fields of POST /v1/tasks, which beat the flags. Empty lines are skipped. A line that fails is reported " +
        "with its number, and the others go on. With --json each task has its line, and the last line has the totals.",
    )
    .option("--priority <number>", "0 to 9, 9 is most urgent (default: 0)", wholeNumber)
    .option("--delay-ms <ms>", "wait before the first attempt", wholeNumber)
    .option("--run-at <time>", "first attempt at this time: ISO 8601 with a zone, or epoch milliseconds")
    .option("--max-attempts <number>", "1 to 100 (default: the queue's)", wholeNumber)
    .option("--idempotency-key <key>", "a second enqueue with this key within 24 h gives the same task")
    .option("--tag <key=value>", "a tag; may be given several times", tag)
    .option("--tasks", "the lines of stdin are whole tasks, not payloads");
  withHelp(
    withTarget(withBackoff(command)),
    [
      `dibs enqueue emails '{"to":"a@b.c"}' --priority 5 --delay-ms 60000`,
      "jq -c '.[]' people.json | dibs enqueue emails -",
      `echo '{"payload":{"to":"a@b.c"},"idempotencyKey":"order-17"}' | dibs enqueue emails - --tasks`,
    ],
    "1 when a line of stdin failed",
  ).action((queue: string, payload: string | undefined, flags: EnqueueFlags) =>
    perform(flags, (session) => enqueue(session, queue, payload, flags), {
      graceful: payload === "-",
      makesStore: true,
    }),
  );
}

async function enqueue(
  session: Session,
  queue: string,
  payload: string | undefined,
  flags: EnqueueFlags,
): Promise<ExitCode> {
  const template = templateOf(queue, flags);
  if (payload === "-") {
    if (template.idempotencyKey !== undefined)
      throw new UsageError(
        "With - one --idempotency-key would make one task of all lines: give keys with --tasks",
      );
    const { check } = await import("../protocol/validate.ts");
    // A flag that is wrong is wrong for every line: better said once, before the first.
    check("EnqueueBody", template);
    if (!flags.tasks)
      return enqueueLines(session, (text) => ({ ...template, payloadJson: checkedJson(text, "The line") }));
    return enqueueLines(session, (text) => taskOf(text, template, (fields) => check("EnqueueBody", fields)));
  }
  if (flags.tasks) throw new UsageError("--tasks is about the lines of stdin: give - as the payload");
  const item =
    payload === undefined ? template : { ...template, payloadJson: checkedJson(payload, "The payload") };
  show(session, await (await session.connection()).enqueue(item));
  return EXIT.done;
}

function show({ output }: Session, answer: EnqueueAnswer): void {
  output.emit(answer);
  const known = answer.deduplicated ? "; the key was seen before, nothing was added" : "";
  output.print(`${answer.id} is ${answer.state}${known}`);
}

function templateOf(queue: string, flags: EnqueueFlags): EnqueueItem {
  return {
    queue,
    ...present({
      priority: flags.priority,
      delayMs: flags.delayMs,
      runAt: flags.runAt === undefined ? undefined : instant(flags.runAt),
      maxAttempts: flags.maxAttempts,
      backoff: backoffOf(flags),
      idempotencyKey: flags.idempotencyKey,
      tags: flags.tag as Record<string, string> | undefined,
    }),
  };
}

/** The server reads ISO 8601 and says what is wrong with it. */
function instant(text: string): number | string {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}

/** A line that is a whole task, checked in the words of the server. */
function taskOf(text: string, template: EnqueueItem, check: (fields: object) => unknown): EnqueueItem {
  const task: unknown = JSON.parse(checkedJson(text, "The line"));
  if (typeof task !== "object" || task === null || Array.isArray(task))
    throw new InvalidRequestError("Expected the line to be an object: with --tasks a line is a task");
  check({ ...template, ...task });
  const { payload: _, ...fields } = task as EnqueueBody;
  const payloadJson = memberText(text, "payload");
  return { ...template, ...fields, ...(payloadJson !== undefined && { payloadJson }) };
}

/** The text as it stands: numbers too large for JavaScript, and the like, are handed on as they were written. */
function checkedJson(text: string, what: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    const hint = what === "The payload" ? `; quote it for the shell: '{"to":"a@b.c"}'` : "";
    throw new InvalidRequestError(`${what} is not JSON: ${(error as Error).message}${hint}`, {
      cause: error,
    });
  }
  return text;
}
