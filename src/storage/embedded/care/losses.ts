import type { QueueName, TaskId } from "../../../task/ids.ts";
import type { TaskState } from "../../../task/task.ts";
import type { Engine } from "../engine.ts";
import { FRAME } from "../frame.ts";
import type { Orphan } from "../loader.ts";
import { type IdWords, idIn, RECORD, read } from "../records.ts";
import type { FrozenDisk } from "./frozen-disk.ts";

/** Of a state record, bytes before its texts. */
const STATE_FIXED = 80;

/** A task that is known to be damaged or gone, by its id. */
export interface LostTask {
  readonly id: TaskId;
  readonly queue: QueueName;
  /**
   * `task`: all of it is gone, or its payload. `change`: the task is in the new store as it was before its last
   * change, which is gone.
   */
  readonly lost: "task" | "change";
  /** Of `task`: the state that a record still told, when one did. Of `change`: the state in the new store. */
  readonly state?: TaskState;
}

/** A task that a damaged record names. */
interface Named {
  readonly queue: number;
  readonly id: IdWords;
}

/** Finds out which tasks the lost parts of a journal were about. */
export class Losses {
  readonly #named = new Map<string, Named>();
  /** Removed from the store by a record that is whole: not lost. */
  readonly #removed = new Set<string>();

  /**
   * Looks for ids in damaged bytes. The checksum says that something in them is wrong, so this is good for telling
   * whom to ask, and for nothing else.
   */
  look(content: Buffer, start: number, end: number): void {
    if (start + FRAME.header > end || content.readUInt32LE(start) !== FRAME.magic) return;
    let at = start + FRAME.header;
    while (at + 24 <= end) {
      const length = read.length(content, at);
      const kind = read.kind(content, at);
      if (length < 12 || kind < RECORD.task || kind > RECORD.boot) return;
      if (kind <= RECORD.removed) this.#name(content, at);
      at += length;
    }
  }

  removed(content: Buffer, at: number): void {
    const key = keyOf(read.id(content, at));
    if (this.#named.has(key)) this.#removed.add(key);
  }

  /** All that is lost and known by its id, after the last record has been read. */
  tell(engine: Engine, disk: FrozenDisk, orphans: Iterable<Orphan>): LostTask[] {
    const lost = new Map<string, LostTask>();
    for (const { segment, at } of orphans) {
      const record = disk.read(segment, at, STATE_FIXED);
      const named = { queue: read.queue(record, 0), id: read.id(record, 0) };
      const state = read.status(record, 0)?.state;
      const task = lostTask(engine, named, "task", state);
      if (task !== undefined) lost.set(keyOf(named.id), task);
    }
    for (const [key, named] of this.#named) {
      if (lost.has(key) || this.#removed.has(key)) continue;
      const slot = engine.table.findWords(named.id.a, named.id.b, named.id.c);
      const state = slot === -1 ? undefined : engine.table.stateOf(slot);
      const task = lostTask(engine, named, slot === -1 ? "task" : "change", state);
      if (task !== undefined) lost.set(key, task);
    }
    return [...lost.values()];
  }

  #name(content: Buffer, at: number): void {
    const id = read.id(content, at);
    this.#named.set(keyOf(id), { queue: read.queue(content, at), id });
  }
}

function lostTask(
  engine: Engine,
  { queue, id }: Named,
  lost: LostTask["lost"],
  state: TaskState | undefined,
): LostTask | undefined {
  const name = engine.queues[queue]?.name;
  // A queue that never was: the bytes were no record.
  if (name === undefined) return undefined;
  return { id: idIn(name, id), queue: name, lost, ...(state !== undefined && { state }) };
}

function keyOf({ a, b, c }: IdWords): string {
  return `${a}.${b}.${c}`;
}
