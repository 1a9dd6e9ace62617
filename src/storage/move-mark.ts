import { StorageUnavailableError } from "../task/errors.ts";
import type { Storage } from "./storage.ts";

/**
 * What a store remembers of a move that it is one end of (`dibs move`), beside its tasks. A store that is half
 * filled or half emptied must not be served: its tasks would run twice, or be missed.
 */
export type MoveMark =
  /** Being filled. */
  | { readonly phase: "arriving"; readonly from: string }
  /** Filled and audited; the source is as it was, and `digest` names all that it held. */
  | { readonly phase: "arrived"; readonly from: string; readonly digest: string }
  /** Being emptied, after an audit that passed. */
  | { readonly phase: "leaving"; readonly to: string }
  /** Filled and audited, and the source was emptied. */
  | { readonly phase: "finished"; readonly from: string };

/** What an engine offers, beside the port, to the one who moves stores. */
export interface MovableStorage extends Storage {
  readMoveMark(): Promise<MoveMark | undefined>;
  /** As durable as the store when it resolves; undefined removes the mark. */
  writeMoveMark(mark: MoveMark | undefined): Promise<void>;
  /** How many other processes have the store open now. */
  otherUsers(): Promise<number>;
}

/** @throws {StorageUnavailableError} when a store with this mark must not be served; `place` names the store. */
export function refuseMidMove(mark: MoveMark | undefined, place: string): void {
  if (mark?.phase === "arriving") {
    throw new StorageUnavailableError(
      `${place} is half filled by a move from ${mark.from} that did not end. The tasks are still all there: ` +
        "run the same dibs move again to go on, or remove this half and serve the old store",
    );
  }
  if (mark?.phase === "leaving") {
    throw new StorageUnavailableError(
      `${place} has moved to ${mark.to} and was being emptied. Serve the new store; the same dibs move --finish ` +
        "again empties the rest",
    );
  }
}

/** The mark in its stored form. @throws {StorageUnavailableError} for one of a later version. */
export function parseMoveMark(text: string, place: string): MoveMark {
  const mark = JSON.parse(text) as MoveMark;
  if (["arriving", "arrived", "leaving", "finished"].includes(mark.phase)) return mark;
  throw new StorageUnavailableError(`${place} is marked by a later version of Dibs: use that one`);
}
