import { setTimeout as wait } from "node:timers/promises";
import { FrozenDisk } from "../../storage/embedded/care/frozen-disk.ts";
import { loadFrozen } from "../../storage/embedded/care/load.ts";
import type { Engine } from "../../storage/embedded/engine.ts";
import { defaultMemoryBytesMax } from "../../storage/embedded/memory.ts";
import { readMoveMark } from "../../storage/embedded/move-mark.ts";
import type { QueueState } from "../../storage/embedded/queue-state.ts";
import { refuseMidMove } from "../../storage/move-mark.ts";
import { type Diagnosis, diagnosisOf, type Look } from "./diagnosis.ts";
import { diskFindings } from "./disk-probe.ts";
import { type Finding, graded, judged, shown } from "./finding.ts";
import { folderHolder, holderFinding } from "./folder-holder.ts";
import { machineFindings, watched } from "./machine.ts";
import { LEASES_MAX, QUEUES_MAX, type QueueFacts, queueFindings } from "./queue-health.ts";

/** A folder with a store, and the bounds on its tasks. */
export interface FolderTarget {
  readonly folder: string;
  readonly tasksMax: number;
  /** Default: that of a store in a process like this one. */
  readonly memoryBytesMax?: number;
}

/**
 * Looks at a folder, whether or not a server has it open: it takes no lock and only reads the journal. The disk is
 * measured in a folder of its own inside, which is gone at the end.
 * @throws {InvalidRequestError} when the folder is no store. Everything else is a line.
 */
export async function examineFolder(target: FolderTarget, look: Look): Promise<Diagnosis> {
  const { folder } = target;
  const at = Date.now();
  const findings: Finding[] = [];
  const holder = await folderHolder(folder);
  findings.push(holderFinding(folder, holder), await moveFinding(folder));
  look.onStep("Reading the journal");
  findings.push(...journalFindings(target, holder.kind !== "nobody", look));
  look.onStep("Measuring the disk");
  findings.push(...(await diskFindings(folder)));
  look.onStep(`Measuring this machine for ${Math.round(look.forMs / 1_000)} s`);
  const [, machine] = await watched(() => pause(look));
  findings.push(...machineFindings(machine));
  return diagnosisOf({ place: folder, kind: "folder", at }, findings);
}

async function moveFinding(folder: string): Promise<Finding> {
  const line = { check: "move", where: folder, bound: "no move in the middle" };
  try {
    const mark = await readMoveMark(folder);
    refuseMidMove(mark, folder);
    return { ...line, colour: "green", figure: mark?.phase ?? "none" };
  } catch (error) {
    return { ...line, colour: "red", figure: "in the middle", advice: (error as Error).message };
  }
}

/** What a start would find. */
function journalFindings(target: FolderTarget, isServed: boolean, { onStep }: Look): Finding[] {
  const { folder } = target;
  const disk = FrozenDisk.open(folder);
  const startedAt = performance.now();
  const line = { check: "journal", where: folder, bound: "whole, of a format of this version" };
  try {
    const { engine, cut } = loadFrozen(disk, (done, total) =>
      onStep(`Reading the journal: ${Math.floor((100 * done) / Math.max(1, total))} %`),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    return [
      judged(cut !== undefined && !isServed ? "yellow" : "green", {
        ...line,
        figure: `${plural(disk.numbers.length, "segment")}, ${shown(disk.bytes, "bytes")}, read in ${shown(seconds, "s")}`,
        advice: `The next start will cut the end of a write that did not end, which nobody was told is kept. ${cut}`,
      }),
      ...storeFindings(target, engine, isServed),
    ];
  } catch (error) {
    return [{ ...line, colour: "red", figure: "cannot be opened", advice: (error as Error).message }];
  } finally {
    disk.close();
  }
}

function storeFindings(target: FolderTarget, engine: Engine, isServed: boolean): Finding[] {
  const { folder, tasksMax } = target;
  const now = Date.now();
  const queues = engine.queues.slice(0, QUEUES_MAX).map((queue) => factsOf(engine, queue));
  return [
    graded({
      check: "tasks in memory",
      where: folder,
      value: (100 * engine.table.size) / tasksMax,
      unit: "%",
      yellow: 75,
      red: 95,
      figure: `${shown(engine.table.size, "tasks")} of ${tasksMax.toLocaleString("en-US")} (tasksMax)`,
      advice:
        "At its bound the store refuses enqueues: keep less, or raise --tasks-max where there is memory",
    }),
    memoryFinding(target, engine),
    clockFinding(folder, engine, now),
    ...queueFindings(folder, { now, queues, total: engine.queues.length, isServed }),
  ];
}

function memoryFinding(target: FolderTarget, { memory }: Engine): Finding {
  const { folder, memoryBytesMax = defaultMemoryBytesMax() } = target;
  const { bytes, keys } = memory.use;
  return graded({
    check: "memory",
    where: folder,
    value: (100 * bytes) / memoryBytesMax,
    unit: "%",
    yellow: 75,
    red: 95,
    figure: `${shown(bytes, "bytes")} for tasks and ${plural(keys, "idempotency key")}, of ${shown(memoryBytesMax, "bytes")} (memoryBytesMax)`,
    advice:
      "At its bound the store refuses enqueues: keep less, use fewer idempotency keys (each is remembered for 24 hours), or raise --memory-bytes-max and Node's --max-old-space-size with it",
  });
}

/** Every counter of a queue is counted while the journal is read, so only the sum can be wrong. */
function factsOf(engine: Engine, queue: QueueState): QueueFacts {
  const slots: number[] = [];
  queue.leased.head(LEASES_MAX, slots);
  const { table } = engine;
  return {
    ...queue.snapshot(),
    leases: slots.map((slot) => ({ expiresAt: table.time.get(slot), ms: table.leaseMs.get(slot) })),
  };
}

/** A claim in the future was made by a clock that has been set back since: leases and schedules wait until it is past. */
function clockFinding(folder: string, engine: Engine, now: number): Finding {
  const { table } = engine;
  let latest = 0;
  for (let slot = 0; slot < table.rows; slot += 1)
    if (table.state.get(slot) !== 0) latest = Math.max(latest, table.claimedAt.get(slot));
  return graded({
    check: "clock skew",
    where: folder,
    value: Math.max(0, (latest - now) / 1_000),
    unit: "s",
    yellow: 1,
    red: 60,
    figure:
      latest > now + 1_000
        ? `the last claim is ${shown((latest - now) / 1_000, "s")} in the future`
        : "no claim in the future",
    advice:
      "The clock of this machine was set back: leases and schedules are later by as much; keep it with NTP",
  });
}

function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

/** Ends early when the look is ended. */
async function pause({ forMs, signal }: Look): Promise<void> {
  await wait(forMs, undefined, { signal }).catch(() => {});
}
