import { setImmediate as turn } from "node:timers/promises";
import type { Disk } from "../disk.ts";
import type { Engine } from "../engine.ts";
import type { FrameWriter } from "../frame.ts";
import { Journal } from "../journal.ts";
import { RECORD, writeBoot, writeKey, writeNumber, writeQueue, writeState, writeTask } from "../records.ts";
import { idWords } from "../task-table.ts";
import type { WalkOptions } from "./invariants.ts";

const SEGMENT_BYTES = 32 * 1024 * 1024;
const FRAME_BYTES = 128 * 1024;

/** Writes all that an engine holds into a new journal, as compaction would, and flushes it. */
export async function writeStore(
  engine: Engine,
  fences: number,
  disk: Disk,
  { onProgress, signal }: WalkOptions,
): Promise<void> {
  const journal = new Journal(disk, {
    durability: "process",
    segmentBytes: SEGMENT_BYTES,
    reserveBytes: 0,
    writeHead: (to) => writeHead(engine, fences, to),
    onBroken: () => {},
  });
  journal.open([], 0);
  try {
    await writeRecords(engine, journal, { onProgress, signal });
  } finally {
    await journal.close();
  }
}

async function writeRecords(
  engine: Engine,
  journal: Journal,
  { onProgress, signal }: WalkOptions,
): Promise<void> {
  let done = 0;
  let to = journal.begin();
  for (const write of records(engine)) {
    write(to);
    done += 1;
    if (to.at < FRAME_BYTES) continue;
    journal.commit(true);
    onProgress(done, engine.table.size);
    await turn();
    signal?.throwIfAborted();
    to = journal.begin();
  }
  journal.commit(true);
}

function writeHead(engine: Engine, fences: number, to: FrameWriter): void {
  writeBoot(to, engine.options.bootId);
  writeNumber(to, RECORD.oldest, 1);
  writeNumber(to, RECORD.fences, fences);
  for (const { number, name, paused, config, enqueued, pruned } of engine.queues) {
    writeQueue(to, { number, name, paused, config, enqueued, pruned });
  }
}

/** Every task, then every key whose task is gone. */
function* records(engine: Engine): Generator<(to: FrameWriter) => void> {
  const { table } = engine;
  for (let slot = 0; slot < table.rows; slot += 1) {
    if (table.state.get(slot) !== 0) yield (to) => writeWhole(engine, slot, to);
  }
  for (const queue of engine.queues) {
    for (const entry of queue.keys.values()) {
      if (entry.id === undefined) continue;
      const [a, b, c] = idWords(entry.id) as unknown as [number, number, number];
      yield (to) => writeKey(to, queue.number, { a, b, c }, entry);
    }
  }
}

function writeWhole(engine: Engine, slot: number, to: FrameWriter): void {
  const status = engine.table.status(slot);
  const queue = engine.table.queue.get(slot);
  const id = engine.idWords(slot);
  const first = { runAt: status.runAt, order: status.order, scheduled: status.state === "scheduled" };
  writeTask(to, queue, id, engine.constants(slot), first, true);
  if (engine.table.stateSegment.get(slot) !== 0) writeState(to, queue, id, status, engine.details(slot));
}
