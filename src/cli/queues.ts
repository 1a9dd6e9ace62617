import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { QueueMessage, QueuePatchBody } from "../protocol/messages.ts";
import type { Connection } from "../sdk/connection.ts";
import { TASK_STATES, type TaskState } from "../task/task.ts";
import { agreed } from "./ask.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import {
  type BackoffFlags,
  backoffOf,
  present,
  wholeNumber,
  withBackoff,
  withHelp,
  withTarget,
} from "./flags.ts";
import { count, duration, milliseconds, relative } from "./format.ts";
import type { Output } from "./output.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";
import type { Column } from "./table.ts";

/** `dibs queues`: looking at queues and operating them. */
const WATCH_EVERY_MS = 1_000;

export function addQueues(dibs: Command): void {
  const queues = dibs.command("queues").description("look at queues and operate them");
  addList(queues);
  addShow(queues);
  addSet(queues);
  addPause(queues);
  addResume(queues);
  addPurge(queues);
}

function addList(queues: Command): void {
  const command = queues
    .command("list")
    .description("all queues with their counts")
    .option("--watch", "show them again every second until Ctrl-C");
  withHelp(withTarget(command), ["dibs queues list", "dibs queues list --watch"]).action(
    (flags: SessionFlags & { watch?: boolean }) =>
      perform(flags, async (session) => {
        const connection = await session.connection();
        showList(session.output, await connection.queues());
        while (flags.watch) await showAgain(session, connection);
        return EXIT.done;
      }),
  );
}

async function showAgain({ output, signal }: Session, connection: Connection): Promise<void> {
  await sleep(WATCH_EVERY_MS, undefined, { signal });
  const queues = await connection.queues();
  output.nextPicture();
  showList(output, queues);
}

const LIST: readonly Column<QueueMessage>[] = [
  { title: "QUEUE", value: (it) => it.queue + (it.paused ? " (paused)" : ""), flexible: true },
  { title: "READY", value: (it) => it.counts.ready },
  { title: "SCHEDULED", value: (it) => it.counts.scheduled },
  { title: "LEASED", value: (it) => it.counts.leased },
  { title: "COMPLETED", value: (it) => it.counts.completed },
  { title: "DEAD", value: (it) => it.counts.dead },
  { title: "CANCELLED", value: (it) => it.counts.cancelled },
  { title: "WAITING", value: (it) => it.waiting },
  { title: "OLDEST READY", value: (it) => oldest(it) },
];

function showList(output: Output, queues: readonly QueueMessage[]): void {
  output.emit({ queues });
  if (queues.length === 0) output.note("No queues yet: a queue begins with its first task.");
  else output.table(LIST, queues);
}

function oldest({ oldestReadyAt }: QueueMessage): string {
  return oldestReadyAt === undefined ? "-" : relative(oldestReadyAt, Date.now());
}

function addShow(queues: Command): void {
  const command = queues.command("show <queue>").description("one queue: counts, latency and configuration");
  withHelp(withTarget(command), ["dibs queues show emails"]).action((name: string, flags: SessionFlags) =>
    onQueue(flags, (connection) => connection.queue(name)),
  );
}

function onQueue(
  flags: SessionFlags,
  call: (connection: Connection, session: Session) => Promise<QueueMessage>,
): Promise<void> {
  return perform(flags, async (session) => {
    showQueue(session.output, await call(await session.connection(), session));
    return EXIT.done;
  });
}

function showQueue(output: Output, queue: QueueMessage): void {
  output.emit(queue);
  output.table(
    [
      { title: "QUEUE", value: ([name]) => name },
      { title: queue.queue, value: ([, value]) => value, flexible: true },
    ] satisfies Column<readonly [string, string]>[],
    facts(queue),
  );
}

function facts(queue: QueueMessage): (readonly [string, string])[] {
  const { config, latency } = queue;
  const percentiles = (of: { p50: number; p99: number; p999: number }) =>
    of.p999 === 0
      ? "nothing measured"
      : `P50 ${milliseconds(of.p50)}, P99 ${milliseconds(of.p99)}, P99.9 ${milliseconds(of.p999)}`;
  return [
    ["paused", queue.paused ? "yes: enqueue goes on, claims give nothing" : "no"],
    ...TASK_STATES.map((state) => [state, count(queue.counts[state])] as const),
    ["oldest ready", oldest(queue)],
    ["ever enqueued", count(queue.enqueued)],
    ["ever removed", count(queue.pruned)],
    ["waiting claims", count(queue.waiting)],
    ...(latency === undefined
      ? []
      : [
          ["claim, last minute", percentiles(latency.claim)] as const,
          ["wait, last minute", percentiles(latency.wait)] as const,
        ]),
    ...(config === undefined ? [] : configFacts(config)),
  ];
}

function configFacts(config: NonNullable<QueueMessage["config"]>): (readonly [string, string])[] {
  const { backoff, retention } = config;
  return [
    ["max attempts", `${config.maxAttempts}`],
    [
      "backoff",
      `${backoff.type} from ${duration(backoff.baseMs)} to ${duration(backoff.capMs)}, jitter ${backoff.jitter}`,
    ],
    ["lease", duration(config.leaseMs)],
    ["max depth", config.maxDepth === null ? "unlimited" : count(config.maxDepth)],
    ["keeps completed", `${duration(retention.completedMs)}, at most ${count(retention.completedMax)}`],
    ["keeps dead", `${duration(retention.deadMs)}, at most ${count(retention.deadMax)}`],
    ["keeps bytes", `at most ${count(retention.bytesMax)} of payloads and results`],
  ];
}

interface SetFlags extends SessionFlags, BackoffFlags {
  readonly maxAttempts?: number;
  readonly leaseMs?: number;
  readonly maxDepth?: number | "none";
  readonly completedMs?: number;
  readonly completedMax?: number;
  readonly deadMs?: number;
  readonly deadMax?: number;
  readonly bytesMax?: number;
}

function addSet(queues: Command): void {
  const command = queues
    .command("set <queue>")
    .description("change a queue's configuration; creates the queue when there is none")
    .option("--max-attempts <number>", "attempts of a task that says nothing itself, 1 to 100", wholeNumber)
    .option("--lease-ms <ms>", "lease of a claim that says nothing itself, 1000 to 43200000", wholeNumber)
    .option("--max-depth <number|none>", "most unfinished tasks; none is unlimited", depth)
    .option("--completed-ms <ms>", "how long completed, and cancelled, tasks are kept", wholeNumber)
    .option("--completed-max <number>", "how many completed, and cancelled, tasks are kept", wholeNumber)
    .option("--dead-ms <ms>", "how long dead tasks are kept", wholeNumber)
    .option("--dead-max <number>", "how many dead tasks are kept", wholeNumber)
    .option("--bytes-max <bytes>", "payload and result bytes of all finished tasks kept", wholeNumber);
  withHelp(withTarget(withBackoff(command)), [
    "dibs queues set emails --max-attempts 8 --lease-ms 60000",
    "dibs queues set emails --backoff fixed --backoff-base-ms 5000 --max-depth none",
  ]).action((name: string, flags: SetFlags) =>
    onQueue(flags, (connection) => connection.configure(name, patchOf(flags))),
  );
}

function depth(text: string): number | "none" {
  return text === "none" ? text : wholeNumber(text);
}

function patchOf(flags: SetFlags): QueuePatchBody {
  const { completedMs, completedMax, deadMs, deadMax, bytesMax } = flags;
  const retention = present({ completedMs, completedMax, deadMs, deadMax, bytesMax });
  const patch = present({
    maxAttempts: flags.maxAttempts,
    leaseMs: flags.leaseMs,
    maxDepth: flags.maxDepth === "none" ? null : flags.maxDepth,
    backoff: backoffOf(flags),
    retention: Object.keys(retention).length === 0 ? undefined : retention,
  });
  if (Object.keys(patch).length === 0)
    throw new UsageError("Nothing to set: give at least one flag, see --help");
  return patch;
}

function addPause(queues: Command): void {
  const command = queues.command("pause <queue>").description("stop handing out tasks; enqueue goes on");
  withHelp(withTarget(command), ["dibs queues pause emails"]).action((name: string, flags: SessionFlags) =>
    onQueue(flags, (connection) => connection.pause(name)),
  );
}

function addResume(queues: Command): void {
  const command = queues.command("resume <queue>").description("hand out tasks again");
  withHelp(withTarget(command), ["dibs queues resume emails"]).action((name: string, flags: SessionFlags) =>
    onQueue(flags, (connection) => connection.resume(name)),
  );
}

interface PurgeFlags extends SessionFlags {
  readonly state: string;
  readonly yes?: boolean;
}

function addPurge(queues: Command): void {
  const command = queues
    .command("purge <queue>")
    .description("delete every task of one state, for good")
    .requiredOption("--state <state>", "scheduled, ready, completed, dead or cancelled")
    .option("--yes", "do not ask");
  withHelp(withTarget(command), [
    "dibs queues purge emails --state dead",
    "dibs queues purge emails --state dead --yes",
  ]).action((name: string, flags: PurgeFlags) => perform(flags, (session) => purge(session, name, flags)));
}

async function purge(session: Session, name: string, flags: PurgeFlags): Promise<ExitCode> {
  const state = purgeable(flags.state);
  const connection = await session.connection();
  if (!flags.yes && !(await wanted(session, connection, name, state))) {
    session.output.note("Nothing was deleted.");
    return EXIT.failed;
  }
  const deleted = await connection.purge(name, state);
  session.output.emit({ queue: name, state, deleted });
  session.output.print(`Deleted ${count(deleted)} ${state} tasks of ${name}.`);
  return EXIT.done;
}

function purgeable(state: string): TaskState {
  const allowed = TASK_STATES.filter((each) => each !== "leased");
  const found = allowed.find((each) => each === state);
  if (found === undefined)
    throw new UsageError(`Expected --state to be one of ${allowed.join(", ")}, got ${state}`);
  return found;
}

async function wanted(
  session: Session,
  connection: Connection,
  name: string,
  state: TaskState,
): Promise<boolean> {
  const deleted = async () => {
    const { counts } = await connection.queue(name);
    return `Delete ${count(counts[state])} ${state} tasks of ${name} for good?`;
  };
  return agreed(session, deleted, "add --yes to delete without asking");
}
