import type { Command } from "commander";
import type { TaskMessage } from "../protocol/messages.ts";
import type { Connection } from "../sdk/connection.ts";
import { LIMITS } from "../task/limits.ts";
import { EXIT } from "./exit.ts";
import { wholeNumber, withHelp, withTarget } from "./flags.ts";
import { count, relative } from "./format.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";
import type { Column } from "./table.ts";
import { tasksOf } from "./tasks.ts";

/** `dibs dead`: the dead letters of a queue. */
export function addDead(dibs: Command): void {
  const dead = dibs.command("dead").description("dead letters: look at them, bring them back");
  addList(dead);
  addRequeue(dead);
}

interface ListFlags extends SessionFlags {
  readonly limit: number;
}

const LIST: readonly Column<TaskMessage>[] = [
  { title: "ID", value: (it) => it.id },
  { title: "DIED", value: (it) => relative(it.finishedAt ?? 0, Date.now()) },
  { title: "REASON", value: (it) => it.deadReason ?? "-" },
  { title: "ATTEMPTS", value: (it) => it.attempt },
  { title: "LAST ERROR", value: (it) => it.lastError ?? "-", flexible: true },
];

function addList(dead: Command): void {
  const command = dead
    .command("list <queue>")
    .description("dead tasks, those that died first at the top")
    .option("--limit <number>", "at most so many", wholeNumber, 50);
  withHelp(withTarget(command), ["dibs dead list emails"]).action((queue: string, flags: ListFlags) =>
    perform(flags, async (session) => {
      await list(session, queue, flags.limit);
      return EXIT.done;
    }),
  );
}

async function list({ output, connection }: Session, queue: string, limit: number): Promise<void> {
  const gathered: TaskMessage[] = [];
  for await (const task of tasksOf(await connection(), queue, ["dead"], limit)) {
    output.emit(task);
    if (!output.json) gathered.push(task);
  }
  if (gathered.length > 0) output.table(LIST, gathered);
  else output.note(`No dead tasks in ${queue}.`);
}

interface RequeueFlags extends SessionFlags {
  readonly limit?: number;
}

function addRequeue(dead: Command): void {
  const command = dead
    .command("requeue <queue>")
    .description("bring dead tasks back to ready, those that died first first, attempts begun anew")
    .option("--limit <number>", "at most so many (default: all that are dead now)", wholeNumber);
  withHelp(withTarget(command), ["dibs dead requeue emails", "dibs dead requeue emails --limit 10"]).action(
    (queue: string, flags: RequeueFlags) =>
      perform(flags, async (session) => {
        const connection = await session.connection();
        const limit = flags.limit ?? (await connection.queue(queue)).counts.dead;
        const requeued = await requeue(connection, queue, limit);
        session.output.emit({ queue, requeued });
        session.output.print(`Requeued ${count(requeued)} dead tasks of ${queue}.`);
        return EXIT.done;
      }),
  );
}

/** Bounded by `limit`, so that tasks that die again meanwhile do not keep it going for ever. */
async function requeue(connection: Connection, queue: string, limit: number): Promise<number> {
  let requeued = 0;
  while (requeued < limit) {
    const moved = await connection.requeueDead(queue, Math.min(limit - requeued, LIMITS.requeueMax));
    if (moved === 0) break;
    requeued += moved;
  }
  return requeued;
}
