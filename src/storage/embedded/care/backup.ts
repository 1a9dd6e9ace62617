import { CorruptJournalError } from "../corrupt-journal.ts";
import type { Disk } from "../disk.ts";
import { FRAME_KIND, FrameWriter } from "../frame.ts";
import { RECORD, read, writeNumber } from "../records.ts";
import { segmentName } from "../segment.ts";
import { FrozenDisk } from "./frozen-disk.ts";
import { loadFrozen } from "./load.ts";
import { NewFolder } from "./new-folder.ts";
import { type Scan, scanFrames } from "./scan.ts";
import type { CareOptions } from "./verify.ts";

/**
 * How far above all fences of a store its copy begins: more claims than a store hands out between the copy and the
 * day on which the copy is served, so that no fence ever comes back (I2).
 */
export const FENCE_LEAP = 2 ** 40;

export interface BackupReport {
  readonly from: string;
  readonly to: string;
  readonly segments: number;
  readonly bytes: number;
  /** Sequence number of the last call that is in the copy. */
  readonly sequence: number;
}

/**
 * Copies a store as it is at one moment into a new folder, checking every checksum on the way; a server may be at
 * work in it and notices nothing. All that was acknowledged before the call is in the copy, and no call by half.
 *
 * @throws {CorruptJournalError} when the store is damaged: half of it is no backup.
 * @throws {InvalidRequestError} when `from` is no store, or `to` is not empty.
 */
export async function backupStore(
  from: string,
  to: string,
  options: CareOptions = {},
): Promise<BackupReport> {
  const disk = FrozenDisk.open(from);
  try {
    const report = await NewFolder.fill(to, from, (target) => copy(disk, target, options));
    return { ...report, from, to };
  } catch (error) {
    throw error instanceof CorruptJournalError ? error.inFolder(from) : error;
  } finally {
    disk.close();
  }
}

async function copy(
  disk: FrozenDisk,
  target: Disk,
  { onProgress, signal }: CareOptions,
): Promise<Omit<BackupReport, "from" | "to">> {
  const copier = new Copier(target);
  const of = disk.bytes;
  const scan = await scanFrames(
    disk,
    {
      frame: (segment, content, frame) => copier.frame(segment, content, frame.start, frame.end),
      progress: (done) => onProgress?.({ step: "copying", done, of }),
    },
    signal,
  );
  refuseDamage(disk, scan);
  copier.end(scan.sequence);
  return { segments: copier.segments, bytes: copier.bytes, sequence: scan.sequence };
}

/** A gap at the end may be a write that had not ended: whether it is, a start would say. */
function refuseDamage(disk: FrozenDisk, { gaps }: Scan): void {
  const [gap] = gaps;
  if (gap === undefined) return;
  loadFrozen(disk, () => {});
  if (gap.before === undefined) return;
  // A start after a power cut would cut here; a copy begins only from a store that has been started since.
  const { file, offset, why } = gap.places[0] as { file: string; offset: number; why: string };
  throw new CorruptJournalError(file, offset, why);
}

/** Writes segments as they were, up to their last whole frame. */
class Copier {
  segments = 0;
  bytes = 0;
  readonly #target: Disk;
  #number = 0;
  #content: Buffer = Buffer.alloc(0);
  #end = 0;
  #fenceEnd = 1;

  constructor(target: Disk) {
    this.#target = target;
  }

  frame(segment: number, content: Buffer, start: number, end: number): void {
    if (segment !== this.#number) this.#write([]);
    this.#number = segment;
    this.#content = content;
    this.#end = end;
    for (let at = start; at < end; at += read.length(content, at)) {
      if (read.kind(content, at) === RECORD.fences)
        this.#fenceEnd = Math.max(this.#fenceEnd, read.number(content, at));
    }
  }

  /** The last segment, with the leap of the fences and the mark of an orderly end behind its frames. */
  end(sequence: number): void {
    const writer = new FrameWriter();
    writer.begin();
    writeNumber(writer, RECORD.fences, this.#fenceEnd + FENCE_LEAP);
    const leap = Buffer.from(writer.finish(FRAME_KIND.records, sequence + 1, sequence));
    writer.begin();
    this.#write([leap, writer.finish(FRAME_KIND.closed, sequence + 2, sequence + 1)]);
  }

  #write(behind: readonly Buffer[]): void {
    if (this.#number === 0) return;
    const file = this.#target.open(segmentName(this.#number), { create: true });
    try {
      const bytes = Buffer.concat([this.#content.subarray(0, this.#end), ...behind]);
      file.write(bytes, 0);
      file.syncNow();
      this.segments += 1;
      this.bytes += bytes.length;
    } finally {
      file.close();
    }
  }
}
