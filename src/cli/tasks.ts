import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { ResultAnswer, TaskMessage } from "../protocol/messages.ts";
import type { Connection } from "../sdk/connection.ts";
import { DibsError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { TASK_STATES, type TaskState } from "../task/task.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import { wholeNumber, withHelp, withTarget } from "./flags.ts";
import { duration, relative } from "./format.ts";
import type { Output } from "./output.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";
import type { Column } from "./table.ts";

/** `dibs tasks`: looking at single tasks and moving them. */
export function addTasks(dibs: Command): void {
  const tasks = dibs.command("tasks").description("look at single tasks and move them");
  addList(tasks);
  addShow(tasks);
  addResult(tasks);
  addMove(tasks, {
    name: "cancel",
    help: "end unfinished tasks; a worker that holds one learns it at its next call",
    move: (connection, id) => connection.cancel(id),
  });
  addRelease(tasks);
  addMove(tasks, {
    name: "requeue",
    help: "bring dead, cancelled or scheduled tasks to ready now, attempts begun anew",
    move: (connection, id) => connection.requeue(id),
  });
}

interface ListFlags extends SessionFlags {
  readonly state?: string;
  readonly limit: number;
}

const LIST_DEFAULT = 50;
/** What somebody looking at a queue wants to see first. */
const STATES_IN_ORDER = ["leased", "ready", "scheduled", "dead", "cancelled", "completed"] as const;

function addList(tasks: Command): void {
  const command = tasks
    .command("list <queue>")
    .description("tasks of a queue: ready in claim order, the others by time")
    .option("--state <state>", `${TASK_STATES.join(", ")} (default: all of them, in turn)`)
    .option("--limit <number>", "at most so many", wholeNumber, LIST_DEFAULT);
  withHelp(withTarget(command), [
    "dibs tasks list emails --state leased",
    "dibs tasks list emails --limit 100000 --json | wc -l",
  ]).action((queue: string, flags: ListFlags) =>
    perform(flags, async (session) => {
      const states = flags.state === undefined ? STATES_IN_ORDER : [stateOf(flags.state)];
      await list(session, queue, states, flags.limit);
      return EXIT.done;
    }),
  );
}

function stateOf(text: string): TaskState {
  const state = TASK_STATES.find((each) => each === text);
  if (state === undefined)
    throw new UsageError(`Expected --state to be one of ${TASK_STATES.join(", ")}, got ${text}`);
  return state;
}

const LIST: readonly Column<TaskMessage>[] = [
  { title: "ID", value: (it) => it.id },
  { title: "STATE", value: (it) => it.state },
  { title: "PRIORITY", value: (it) => it.priority },
  { title: "ATTEMPT", value: (it) => `${it.attempt}/${it.maxAttempts}` },
  { title: "WHEN", value: (it) => whenOf(it) },
  { title: "PAYLOAD", value: (it) => JSON.stringify(it.payload), flexible: true },
];

/** People get one table, so it is gathered; machines get a line a task as the pages come in. */
async function list(
  session: Session,
  queue: string,
  states: readonly TaskState[],
  limit: number,
): Promise<void> {
  const { output } = session;
  const gathered: TaskMessage[] = [];
  for await (const task of tasksOf(await session.connection(), queue, states, limit)) {
    output.emit(task);
    if (!output.json) gathered.push(task);
  }
  if (gathered.length > 0) output.table(LIST, gathered);
  else output.note(`No ${states.length === 1 ? `${states[0]} ` : ""}tasks in ${queue}.`);
}

/** At most `limit` tasks of a queue, state after state, page after page. */
export async function* tasksOf(
  connection: Connection,
  queue: string,
  states: readonly TaskState[],
  limit: number,
): AsyncGenerator<TaskMessage> {
  let left = limit;
  for (const state of states) {
    let cursor: string | undefined;
    do {
      if (left <= 0) return;
      const page = await connection.list(queue, {
        state,
        limit: Math.min(left, LIMITS.listMax),
        ...(cursor !== undefined && { cursor }),
      });
      yield* page.tasks;
      left -= page.tasks.length;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
}

function whenOf(task: TaskMessage): string {
  const now = Date.now();
  if (task.lease !== undefined) {
    const by = task.lease.worker === undefined ? "" : `, ${task.lease.worker}`;
    return `until ${relative(task.lease.expiresAt, now)}${by}`;
  }
  if (task.finishedAt !== undefined) return relative(task.finishedAt, now);
  return relative(task.state === "scheduled" ? task.runAt : task.createdAt, now);
}

function addShow(tasks: Command): void {
  const command = tasks.command("show <id>").description("everything about one task");
  withHelp(withTarget(command), ["dibs tasks show emails~a1b2c3d4e5f6a7b8"]).action(
    (id: string, flags: SessionFlags) =>
      perform(flags, async (session) => {
        const task = await (await session.connection()).task(id);
        showTask(session.output, task);
        return EXIT.done;
      }),
  );
}

function showTask(output: Output, task: TaskMessage): void {
  output.emit(task);
  output.table(
    [
      { title: "TASK", value: ([name]) => name },
      { title: task.id, value: ([, value]) => value },
    ] satisfies Column<readonly [string, string]>[],
    facts(task),
  );
}

function facts(task: TaskMessage): (readonly [string, string])[] {
  const now = Date.now();
  const at = (ms: number) => `${new Date(ms).toISOString()} (${relative(ms, now)})`;
  const optional = (name: string, value: string | undefined) =>
    value === undefined ? [] : [[name, value] as const];
  return [
    ["queue", task.queue],
    ["state", task.state + (task.deadReason === undefined ? "" : ` (${task.deadReason})`)],
    ["priority", `${task.priority}`],
    ["attempt", `${task.attempt} of ${task.maxAttempts}`],
    ["created", at(task.createdAt)],
    ["runs at", at(task.runAt)],
    ...(task.lease === undefined ? [] : leaseFacts(task.lease, at)),
    ...optional("finished", task.finishedAt === undefined ? undefined : at(task.finishedAt)),
    ...optional("key", task.idempotencyKey),
    ...Object.entries(task.tags ?? {}).map(([key, value]) => [`tag ${key}`, value] as const),
    ["payload", JSON.stringify(task.payload)],
    ...optional("result", task.result === undefined ? undefined : JSON.stringify(task.result)),
    ...optional("last error", task.lastError),
    ...(task.failures ?? []).map(
      (it) =>
        [
          `failure ${it.attempt}`,
          `${at(it.at)}${it.worker === undefined ? "" : ` ${it.worker}`}: ${it.error}`,
        ] as const,
    ),
  ];
}

function leaseFacts(
  lease: NonNullable<TaskMessage["lease"]>,
  at: (ms: number) => string,
): (readonly [string, string])[] {
  return [
    ["worker", lease.worker ?? "(no label)"],
    ["claimed", at(lease.claimedAt)],
    ["lease ends", `${at(lease.expiresAt)}, ${duration(lease.ms)} as claimed`],
    ["fence", `${lease.fence}`],
  ];
}

/** A server that restarts while a result is waited for is asked again; one that stays away is reported. */
const RETRY_MS = 500;
const UNREACHABLE_MS = 60_000;

interface ResultFlags extends SessionFlags {
  readonly wait?: true | number;
}

function addResult(tasks: Command): void {
  const command = tasks
    .command("result <id>")
    .description("the result of a task, as JSON")
    .option("--wait [ms]", "wait until it is finished, or so long", wholeNumber);
  withHelp(
    withTarget(command),
    [
      "dibs tasks result emails~a1b2c3d4e5f6a7b8 --wait",
      "dibs tasks result emails~a1b2c3d4e5f6a7b8 --wait 5000",
    ],
    "0 completed, 1 dead or cancelled, 3 not finished yet",
  ).action((id: string, flags: ResultFlags) =>
    perform(flags, async (session) =>
      showResult(session.output, id, await waitForResult(session, id, flags.wait)),
    ),
  );
}

async function waitForResult(
  session: Session,
  id: string,
  wait: true | number | undefined,
): Promise<ResultAnswer> {
  const connection = await session.connection();
  let reachedAt = performance.now();
  const until =
    wait === undefined ? 0 : performance.now() + (wait === true ? Number.POSITIVE_INFINITY : wait);
  for (;;) {
    const left = Math.max(0, Math.ceil(until - performance.now()));
    try {
      const answer = await connection.result(id, Math.min(left, LIMITS.waitMsMax), session.signal);
      reachedAt = performance.now();
      if (answer.finishedAt !== undefined || left <= LIMITS.waitMsMax) return answer;
    } catch (error) {
      const mayPass = error instanceof DibsError && error.retryable && left > 0;
      if (!mayPass || performance.now() - reachedAt > UNREACHABLE_MS) throw error;
      await sleep(Math.min(left, RETRY_MS), undefined, { signal: session.signal });
    }
  }
}

function showResult(output: Output, id: string, answer: ResultAnswer): ExitCode {
  output.emit({ id, ...answer });
  if (answer.state === "completed") {
    output.print(JSON.stringify(answer.result ?? null, undefined, 2));
    return EXIT.done;
  }
  const why = answer.lastError === undefined ? "" : `: ${answer.lastError}`;
  output.note(`Task ${id} is ${answer.state}${why}`);
  return answer.finishedAt === undefined ? EXIT.incomplete : EXIT.failed;
}

interface Move {
  readonly name: string;
  readonly help: string;
  readonly move: (
    connection: Connection,
    id: string,
  ) => Promise<{ readonly id: string; readonly state: string }>;
}

function addMove(tasks: Command, { name, help, move }: Move): void {
  const command = tasks.command(`${name} <ids...>`).description(help);
  withHelp(withTarget(command), [`dibs tasks ${name} emails~a1b2c3d4e5f6a7b8`]).action(
    (ids: string[], flags: SessionFlags) => perform(flags, (session) => moveAll(session, ids, move)),
  );
}

function addRelease(tasks: Command): void {
  const command = tasks
    .command("release <ids...>")
    .description("take leased tasks from their workers; they go to the head of their queue")
    .option("--force", "say so: whoever holds the task gets lease_lost");
  withHelp(withTarget(command), ["dibs tasks release --force emails~a1b2c3d4e5f6a7b8"]).action(
    (ids: string[], flags: SessionFlags & { force?: boolean }) =>
      perform(flags, (session) => {
        // Without a token only force can do it; a future release by token would not need it.
        if (!flags.force)
          throw new UsageError("The lease belongs to a worker: add --force to take the task from it");
        return moveAll(session, ids, (connection, id) => connection.forceRelease(id));
      }),
  );
}

/** One after the other; a task that cannot be moved does not keep the rest from it. */
async function moveAll(session: Session, ids: readonly string[], move: Move["move"]): Promise<ExitCode> {
  const connection = await session.connection();
  let code: ExitCode = EXIT.done;
  for (const id of ids) {
    try {
      const { state } = await move(connection, id);
      session.output.emit({ id, state });
      session.output.print(`${id} is ${state}`);
    } catch (error) {
      // The only one is reported as every command does it, with its own exit code.
      if (ids.length === 1) throw error;
      session.output.error(error);
      code = EXIT.failed;
    }
  }
  return code;
}
