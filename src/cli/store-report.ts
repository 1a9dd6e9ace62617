import type { LostTask } from "../storage/embedded/care/losses.ts";
import { shellWord, wayOut } from "../storage/embedded/care/remedy.ts";
import type { SalvageReport } from "../storage/embedded/care/salvage.ts";
import type { Place } from "../storage/embedded/care/scan.ts";
import type { QueueTally, VerifyReport } from "../storage/embedded/care/verify.ts";
import { TASK_STATES } from "../task/task.ts";
import { CommandFailed } from "./exit.ts";
import { bytes, count } from "./format.ts";
import type { Output } from "./output.ts";

/** @throws {CommandFailed} when the folder is not sound, with what to do. */
export function tellVerified(output: Output, report: VerifyReport): void {
  const { folder, damage, broken, queues, unfinished } = report;
  output.emit(report);
  if (damage.length > 0) tellPlaces(output, damage);
  for (const fault of broken) output.print(fault);
  if (queues !== undefined) tellQueues(output, queues);
  if (!report.isSound) {
    const { salvage, serve } = wayOut(folder);
    throw new CommandFailed(
      `${faultsOf(report)}\nTo save what can be trusted in a new folder, and go on with that:\n  ${salvage}\n  ${serve}\nOr restore a backup.`,
    );
  }
  output.print(
    `${folder} is sound: ${count(report.records)} records in ${count(report.frames)} frames, ` +
      `${bytes(report.bytes)} in ${countOf(report.segments, "segment")}.`,
  );
  if (unfinished !== undefined) output.note(unfinishedText(unfinished));
}

function faultsOf({ folder, damage, broken }: VerifyReport): string {
  return damage.length > 0
    ? `${folder} is damaged in ${countOf(damage.length, "place")}`
    : `${folder} has ${countOf(broken.length, "fault")} although its checksums are right`;
}

function unfinishedText({ file, offset, bytes: length }: Place): string {
  return (
    `The last ${bytes(length)} of ${file}, from offset ${offset}, are a write that had not ended: of a server at work, ` +
    "a kill or a power cut. A start cuts it; no answer had promised it."
  );
}

function emitSalvage(output: Output, { gaps, lost, ...totals }: SalvageReport): void {
  for (const gap of gaps) output.emit({ gap });
  for (const task of lost) output.emit({ lost: task });
  output.emit({ ...totals, tasks: tasksIn(totals.queues), gaps: gaps.length, lost: lost.length });
}

/** More ids than that are for a machine to read. */
const LISTED_MAX = 200;

export function tellSalvaged(output: Output, report: SalvageReport): void {
  const { from, to, queues, lost } = report;
  emitSalvage(output, report);
  tellGaps(output, report);
  const gone = lost.filter((task) => task.lost === "task");
  const stale = lost.filter((task) => task.lost === "change");
  tellIds(output, gone, "Lost, with the last state that is known:");
  tellIds(output, stale, "Kept as they were before their last change, which is lost:");
  tellQueues(output, queues);
  tellDoubts(output, report);
  output.print(
    `Saved ${countOf(tasksIn(queues), "task")} in ${to}. ${from} is as it was. To go on:\n  dibs serve --store ${shellWord(to)}`,
  );
}

function tellGaps(output: Output, { gaps, calls }: SalvageReport): void {
  const places = gaps.flatMap((gap) => gap.places);
  if (places.length === 0) output.print("Nothing was damaged.");
  else tellPlaces(output, places);
  if (places.length > 0 && calls !== undefined)
    output.print(`${countOf(calls, "call")} that enqueued, claimed, settled or removed tasks stood there.`);
}

/** What cannot be told by ids. */
function tellDoubts(output: Output, { to, queues, uncertain }: SalvageReport): void {
  for (const { queue, number, missing, isNameLost } of queues) {
    if (missing > 0) output.print(`${queue}: by its totals it misses ${countOf(missing, "task")}.`);
    if (isNameLost) {
      output.print(
        `${queue}: the name of this queue is lost. To give it, remove ${to} and add --queue ${number}=<name>.`,
      );
    }
  }
  if (uncertain > 0) {
    output.print(
      `${countOf(uncertain, "unfinished task")} may have had a later change there: what was completed there runs again.`,
    );
  }
}

function tellIds(output: Output, tasks: readonly LostTask[], title: string): void {
  if (tasks.length === 0) return;
  output.print(title);
  for (const { id, state } of tasks.slice(0, LISTED_MAX))
    output.print(`  ${id}  ${state ?? "state unknown"}`);
  if (tasks.length > LISTED_MAX)
    output.print(`  and ${count(tasks.length - LISTED_MAX)} more: --json lists all`);
}

function tellPlaces(output: Output, places: readonly Place[]): void {
  output.table(
    [
      { title: "FILE", value: ({ file }) => file },
      { title: "OFFSET", value: ({ offset }) => offset },
      { title: "BYTES", value: ({ bytes: length }) => length },
      { title: "WHAT", value: ({ why }) => why, flexible: true },
    ],
    places,
  );
}

function tellQueues(output: Output, queues: readonly QueueTally[]): void {
  if (queues.length === 0) return;
  output.table(
    [
      { title: "QUEUE", value: ({ queue }) => queue, flexible: true },
      ...TASK_STATES.map((state) => ({
        title: state.toUpperCase(),
        value: ({ counts }: QueueTally) => counts[state],
      })),
      { title: "KEYS", value: ({ keys }) => keys },
    ],
    queues,
  );
}

function tasksIn(queues: readonly QueueTally[]): number {
  let tasks = 0;
  for (const { counts } of queues) for (const state of TASK_STATES) tasks += counts[state];
  return tasks;
}

function countOf(number: number, what: string): string {
  return `${count(number)} ${number === 1 ? what : `${what}s`}`;
}
