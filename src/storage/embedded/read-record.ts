import { StorageUnavailableError } from "../../task/errors.ts";
import type { BlockCache } from "./block-cache.ts";
import { ReadError } from "./disk.ts";
import { type Segment, segmentName } from "./segment.ts";

/** A record that was written and flushed, and that the disk does not give back. */
export class UnreadableRecordError extends StorageUnavailableError {
  constructor(segment: number, offset: number, cause: Error) {
    const file = segmentName(segment);
    const why =
      cause instanceof ReadError
        ? cause.message
        : `Cannot read ${file} at offset ${offset}: ${cause.message}`;
    const details =
      cause instanceof ReadError ? { file: cause.file, offset: cause.offset } : { file, offset };
    super(why, { details, cause });
  }
}

/** A record of a segment: a buffer that must not be changed, and where it begins there. */
export interface ReadRecord {
  readonly from: Buffer;
  readonly at: number;
}

/** @throws {UnreadableRecordError} naming file and offset. */
export function readRecord(blocks: BlockCache, segment: Segment, offset: number, length: number): ReadRecord {
  try {
    return blocks.read(segment, offset, length);
  } catch (error) {
    // The sector that the disk cannot read may be that of another record in the block.
    return error instanceof ReadError
      ? readAlone(segment, offset, length)
      : fail(segment.number, offset, error as Error);
  }
}

function readAlone({ number, file }: Segment, offset: number, length: number): ReadRecord {
  const from = Buffer.allocUnsafe(length);
  try {
    const count = file.read(from, offset);
    if (count < length) throw new Error(`Expected ${length} bytes, found ${count}`);
  } catch (error) {
    fail(number, offset, error as Error);
  }
  return { from, at: 0 };
}

function fail(segment: number, offset: number, cause: Error): never {
  throw new UnreadableRecordError(segment, offset, cause);
}
