import { join } from "node:path";
import { StorageUnavailableError } from "../../../task/errors.ts";
import { parseQueueName, type QueueName } from "../../../task/ids.ts";
import { isFinished } from "../../../task/task.ts";
import type { Disk } from "../disk.ts";
import type { Engine } from "../engine.ts";
import { Loader } from "../loader.ts";
import { generationsIn, holderPath, readRecord } from "../lock-record.ts";
import { sight } from "../lock-socket.ts";
import { RECORD, read } from "../records.ts";
import { segmentName } from "../segment.ts";
import { FENCE_LEAP } from "./backup.ts";
import { FrozenDisk } from "./frozen-disk.ts";
import { readingEngine } from "./load.ts";
import { Losses, type LostTask } from "./losses.ts";
import { NewFolder } from "./new-folder.ts";
import { putInOrder } from "./order.ts";
import { writeStore } from "./rewrite.ts";
import { type Gap, lostCalls, scanFrames } from "./scan.ts";
import { type CareOptions, type QueueTally, talliesOf, verifyStore } from "./verify.ts";

export interface SalvageOptions extends CareOptions {
  /** Names of queues by their number in the journal, for those whose own record is lost. */
  readonly names?: ReadonlyMap<number, QueueName>;
}

export interface SalvagedQueue extends QueueTally {
  /** Its number in the journal. */
  readonly number: number;
  /** Tasks that the queue's own totals miss; a bound from below where a total is lost too. */
  readonly missing: number;
  /** True when the name stands in for one that is lost. */
  readonly isNameLost: boolean;
}

export interface SalvageReport {
  readonly from: string;
  readonly to: string;
  /** Parts of the journal that could not be trusted. */
  readonly gaps: readonly Gap[];
  /** Calls of the engine that were written there; undefined when nothing tells. */
  readonly calls: number | undefined;
  readonly queues: readonly SalvagedQueue[];
  /** Tasks that are lost, or whose last change is, where an id is known. */
  readonly lost: readonly LostTask[];
  /** Unfinished tasks that may have had a later change in a lost part: of those, a completed one runs again. */
  readonly uncertain: number;
}

/**
 * Writes a new store with everything in a damaged folder that can be trusted: the last whole record of each task,
 * every key and every queue. Leaves the damaged folder as it is, and reads around what the disk does not give.
 *
 * @throws {StorageUnavailableError} when a server on this machine is at work in the folder.
 * @throws {InvalidRequestError} when `from` is no store, or `to` is not empty.
 * @throws {DibsError} `storage_unavailable` for a newer format.
 */
export async function salvageStore(
  from: string,
  to: string,
  options: SalvageOptions = {},
): Promise<SalvageReport> {
  await refuseWhileServed(from);
  const disk = FrozenDisk.open(from);
  try {
    const report = await NewFolder.fill(to, from, (target) => salvage(disk, target, options));
    await assertSound(to);
    return { ...report, from, to };
  } finally {
    disk.close();
  }
}

async function salvage(
  disk: FrozenDisk,
  target: Disk,
  options: SalvageOptions,
): Promise<Omit<SalvageReport, "from" | "to">> {
  const { onProgress, signal } = options;
  const survey = await surveyOf(disk, options);
  const engine = readingEngine();
  const named = addQueues(engine, survey, options.names ?? new Map());
  const { loader, highestFence, gaps } = await replayAll(disk, engine, survey, options);
  openForReading(engine, disk);
  const lost = survey.losses.tell(engine, disk, loader.orphans);
  putInOrder(engine);
  const queues = talliesOf(engine).map((tally, number) => ({
    ...tally,
    number,
    missing: settleTotals(engine, number),
    isNameLost: !named.has(number),
  }));
  const uncertain = countUncertain(engine, gaps);
  const fences = Math.max(loader.fenceEnd, highestFence + 1) + FENCE_LEAP;
  await writeStore(engine, fences, target, {
    onProgress: (done, of) => onProgress?.({ step: "writing", done, of }),
    signal,
  });
  return { gaps, calls: callsIn(gaps), queues, lost, uncertain };
}

/** What is learned at a first reading. */
interface Survey {
  readonly names: ReadonlyMap<number, QueueName>;
  /** One more than the highest number of a queue. */
  readonly queues: number;
  readonly losses: Losses;
}

async function surveyOf(disk: FrozenDisk, { onProgress, signal }: CareOptions): Promise<Survey> {
  const names = new Map<number, QueueName>();
  const losses = new Losses();
  const of = 2 * disk.bytes;
  let queues = 0;
  await scanFrames(
    disk,
    {
      frame(_segment, content, frame) {
        for (let at = frame.start; at < frame.end; at += read.length(content, at)) {
          const kind = read.kind(content, at);
          if (kind === RECORD.queue) {
            const { number, name } = read.queueRecord(content, at);
            const parsed = parseQueueName(name);
            if (parsed !== undefined) names.set(number, parsed);
            queues = Math.max(queues, number + 1);
          } else if (kind <= RECORD.key) queues = Math.max(queues, read.queue(content, at) + 1);
        }
      },
      damage: (_segment, content, start, end) => losses.look(content, start, end),
      progress: (done) => onProgress?.({ step: "reading", done, of }),
    },
    signal,
  );
  return { names, queues, losses };
}

/** Makes all queues known before their tasks come; returns the numbers of those whose name is known. */
function addQueues(
  engine: Engine,
  { names, queues }: Survey,
  given: ReadonlyMap<number, QueueName>,
): ReadonlySet<number> {
  const known = new Map([...given, ...names]);
  const taken = new Set<string>(known.values());
  for (let number = 0; number < queues; number += 1) {
    let name: string | undefined = known.get(number);
    for (
      let n = number;
      name === undefined || engine.findQueue(name as QueueName) !== undefined;
      n += queues
    ) {
      name = taken.has(`salvaged-${n}`) ? undefined : `salvaged-${n}`;
    }
    engine.addQueue(engine.newQueue(name as QueueName));
  }
  return new Set(known.keys());
}

async function replayAll(
  disk: FrozenDisk,
  engine: Engine,
  { losses }: Survey,
  { onProgress, signal }: CareOptions,
): Promise<{ loader: Loader; highestFence: number; gaps: readonly Gap[] }> {
  const loader = new Loader(engine);
  let highestFence = 0;
  const half = disk.bytes;
  const { gaps } = await scanFrames(
    disk,
    {
      frame(segment, content, frame) {
        for (let at = frame.start; at < frame.end; at += read.length(content, at)) {
          const kind = read.kind(content, at);
          if (kind === RECORD.boot || kind === RECORD.oldest) continue;
          if (kind === RECORD.removed) losses.removed(content, at);
          else if (kind === RECORD.state)
            highestFence = Math.max(highestFence, read.status(content, at)?.fence ?? 0);
          loader.replay(segment, content, at);
        }
      },
      // A failing disk may give less than at the first reading.
      damage: (_segment, content, start, end) => losses.look(content, start, end),
      progress: (done) => onProgress?.({ step: "reading", done: half + done, of: 2 * half }),
    },
    signal,
  );
  return { loader, highestFence, gaps };
}

/** Lets the engine read records back; a segment that is missing has none. */
function openForReading(engine: Engine, disk: FrozenDisk): void {
  const first = disk.numbers[0] as number;
  const last = disk.numbers.at(-1) as number;
  for (let number = first; number <= last; number += 1) {
    const present = disk.numbers.includes(number) ? number : first;
    const file = disk.open(segmentName(present));
    engine.journal.segments.push({ number, file, length: file.size(), sequence: 0 });
  }
}

/** Makes the totals of a queue agree with its tasks (I1): what is missing counts as removed. Returns how many are. */
function settleTotals(engine: Engine, number: number): number {
  const queue = engine.queues[number] as Engine["queues"][number];
  const { enqueued, pruned } = queue;
  let tasks = 0;
  for (let slot = 0; slot < engine.table.rows; slot += 1) {
    if (engine.table.state.get(slot) !== 0 && engine.table.queue.get(slot) === number) tasks += 1;
  }
  queue.enqueued = Math.max(enqueued, tasks);
  queue.pruned = queue.enqueued - tasks;
  return Math.max(0, enqueued - pruned - tasks);
}

function callsIn(gaps: readonly Gap[]): number | undefined {
  const calls = gaps.map(lostCalls);
  return calls.includes(undefined) ? undefined : calls.reduce<number>((sum, each) => sum + (each ?? 0), 0);
}

/** Unfinished tasks whose last record stands before the last gap. */
function countUncertain(engine: Engine, gaps: readonly Gap[]): number {
  const place = gaps.at(-1)?.places.at(-1);
  if (place === undefined) return 0;
  const { table } = engine;
  let uncertain = 0;
  for (let slot = 0; slot < table.rows; slot += 1) {
    if (table.state.get(slot) === 0 || isFinished(table.stateOf(slot))) continue;
    const hasState = table.stateSegment.get(slot) !== 0;
    const file = segmentName((hasState ? table.stateSegment : table.taskSegment).get(slot));
    const offset = (hasState ? table.stateOffset : table.taskOffset).get(slot);
    if (file < place.file || (file === place.file && offset < place.offset)) uncertain += 1;
  }
  return uncertain;
}

/** A store that a server changes while it is saved would have tasks in both. */
async function refuseWhileServed(folder: string): Promise<void> {
  const place = join(folder, "lock");
  const generation = (await generationsIn(place)).at(-1);
  if (generation === undefined) return;
  const holder = (await readRecord(holderPath(place, generation)))?.record;
  if (holder === undefined || holder.released) return;
  const sighting = await sight(place, holder.nonce);
  if (sighting.kind !== "alive") return;
  sighting.end();
  throw new StorageUnavailableError(
    `${folder} is held by process ${holder.pid}: stop it first, or its tasks would be in two stores. A sound store is copied while it is served by dibs store backup`,
    { details: { folder, pid: holder.pid } },
  );
}

async function assertSound(folder: string): Promise<void> {
  const { isSound, damage, broken } = await verifyStore(folder);
  if (!isSound) throw new Error(`The new store is not sound: ${damage[0]?.why ?? broken[0]}`);
}
