import type { Command } from "commander";
import type { StoreDigest } from "../move/digest.ts";
import type { MoveProgress, MoveReport } from "../move/move.ts";
import type { MoveEnd } from "../move/move-end.ts";
import { TASK_STATES } from "../task/task.ts";
import { agreed } from "./ask.ts";
import { CommandFailed, EXIT, type ExitCode, UsageError } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { count } from "./format.ts";
import { nameOf, openSource, openTarget } from "./move-place.ts";
import type { Output } from "./output.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs move`: all that a store keeps, in another store. */

interface MoveFlags extends SessionFlags {
  readonly fromPrefix: string;
  readonly toPrefix: string;
  readonly finish?: boolean;
  readonly yes?: boolean;
}

export function addMove(dibs: Command): void {
  const command = dibs
    .command("move <from> <to>")
    .summary("move all tasks to another store: folder, Redis or cluster")
    .description(
      "Copies every queue with its tasks, order, leases, results, keys and settings from one store to another, " +
        "which must be empty, and compares both afterwards. A store is a folder or an address: redis://…, " +
        "rediss://…, redis+cluster://…, redis+sentinel://…. Nobody may serve either of them meanwhile. The old " +
        "store stays as it was until --finish. Killed or interrupted, the same command again goes on.",
    )
    .option("--from-prefix <prefix>", "what the keys of the old store begin with, in a Redis", "dibs")
    .option("--to-prefix <prefix>", "what the keys of the new store begin with, in a Redis", "dibs")
    .option("--finish", "when both are the same, empty the old store")
    .option("--yes", "do not ask before emptying it")
    .action((from: string, to: string, flags: MoveFlags) =>
      perform(flags, (session) => run(session, from, to, flags), { graceful: true }),
    );
  withHelp(
    withSettings(command, ["tasksMax", "memoryBytesMax"]),
    [
      "dibs move ./data redis://127.0.0.1:6379",
      "dibs move ./data redis://127.0.0.1:6379 --finish",
      "dibs move redis://127.0.0.1:6379 redis+cluster://10.0.0.1:7000,10.0.0.2:7000",
    ],
    "0 both stores hold the same (or the old one was emptied), 1 they do not or the move was refused, 130 go on later",
  );
}

async function run(session: Session, from: string, to: string, flags: MoveFlags): Promise<ExitCode> {
  const [old, fresh] = [
    { text: from, prefix: flags.fromPrefix },
    { text: to, prefix: flags.toPrefix },
  ];
  const [oldName, freshName] = [await nameOf(old), await nameOf(fresh)];
  if (oldName === freshName) throw new UsageError(`${oldName} is one store, not two`);
  if (flags.finish === true && flags.yes !== true) {
    const question = () => `Move everything to ${freshName}, then empty ${oldName}?`;
    if (!(await agreed(session, question, "add --yes to empty the old store without asking"))) {
      session.output.note("Nothing was moved.");
      return EXIT.failed;
    }
  }
  const source = await openSource(session, old);
  try {
    const target = await openTarget(session, fresh);
    try {
      return await moveBetween(session, source, target, flags.finish === true);
    } finally {
      await target.storage.close();
    }
  } finally {
    await source.storage.close();
  }
}

async function moveBetween(session: Session, from: MoveEnd, to: MoveEnd, finish: boolean): Promise<ExitCode> {
  const { output, signal } = session;
  const [{ AuditFailedError, move }, { MoveRefusedError }] = await Promise.all([
    import("../move/move.ts"),
    import("../move/move-end.ts"),
  ]);
  try {
    const report = await move(from, to, { finish, signal, onProgress: teller(output) });
    output.endProgress();
    tell(output, from.name, to.name, report);
    return EXIT.done;
  } catch (error) {
    if (signal.aborted)
      output.note("Interrupted: the same command again goes on. Do not serve the new store yet.");
    if (error instanceof MoveRefusedError || error instanceof AuditFailedError) {
      throw new CommandFailed(error.message);
    }
    throw error;
  }
}

const TOLD_EVERY_MS = 1_000;

/** Tells how far the move is: a moving line on a terminal, a line a second with `--json`. */
function teller(output: Output): (progress: MoveProgress) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (progress) => {
    const { step, queue, done, of } = progress;
    const percent = Math.floor((100 * done) / Math.max(1, of));
    output.progress(`${step} ${queue ?? ""} ${count(done)} of ${count(of)} tasks, ${percent} %`);
    const now = performance.now();
    if (now - toldAt < TOLD_EVERY_MS) return;
    toldAt = now;
    output.emit({ progress });
  };
}

function tell(
  output: Output,
  from: string,
  to: string,
  { outcome, audit, imported, removed }: MoveReport,
): void {
  output.emit({
    from,
    to,
    outcome,
    imported,
    removed,
    ...(audit !== undefined && { queues: rowsOf(audit) }),
  });
  if (audit !== undefined && audit.queues.length > 0) {
    output.table(
      [
        { title: "QUEUE", value: (row) => row.queue, flexible: true },
        ...[...TASK_STATES, "keys" as const].map((name) => ({
          title: name.toUpperCase(),
          value: (row: Row) => row[name],
        })),
      ],
      rowsOf(audit),
    );
  }
  if (audit !== undefined)
    output.print(`Audit passed: both stores held the same ${count(tasksOf(audit))} tasks.`);
  if (outcome === "finished") output.print(`Moved to ${to}. ${from} is empty.`);
  else {
    output.print(`Moved to ${to}. ${from} is as it was: serve only the new store from now on.`);
    output.note("The same command with --finish empties the old one.");
  }
}

type Row = Readonly<Record<(typeof TASK_STATES)[number] | "keys", number>> & { readonly queue: string };

function rowsOf({ queues }: StoreDigest): readonly Row[] {
  return queues.map(({ queue, counts, keys }) => ({ queue, ...counts, keys: keys.count }));
}

function tasksOf({ queues }: StoreDigest): number {
  let tasks = 0;
  for (const { counts } of queues) for (const state of TASK_STATES) tasks += counts[state];
  return tasks;
}
