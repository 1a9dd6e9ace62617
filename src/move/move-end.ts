import type { MoveMark } from "../storage/move-mark.ts";
import type { Storage } from "../storage/storage.ts";

/** One end of a move: a store that nobody serves meanwhile, and the mark in it. */
export interface MoveEnd {
  /** As a user knows it, without secrets: a folder's path, or an address. */
  readonly name: string;
  readonly storage: Storage;
  readMark(): Promise<MoveMark | undefined>;
  writeMark(mark: MoveMark | undefined): Promise<void>;
  /** @throws {MoveRefusedError} when another process uses the store. */
  refuseWhenServed(): Promise<void>;
}

/** The move cannot begin, or must not go on; nothing was lost. */
export class MoveRefusedError extends Error {}
