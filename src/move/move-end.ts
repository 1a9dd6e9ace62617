import type { MovableStorage } from "../storage/move-mark.ts";

/** One end of a move. */
export interface MoveEnd {
  /** As a user knows it, without secrets: a folder's path, or an address. It names this end in the other one's mark. */
  readonly name: string;
  readonly storage: MovableStorage;
}

/** The move cannot begin, or must not go on; nothing was lost. */
export class MoveRefusedError extends Error {}

/** @throws {MoveRefusedError} when another process has the store open: what it moves meanwhile would be lost or doubled. */
export async function refuseWhenServed({ name, storage }: MoveEnd): Promise<void> {
  const others = await storage.otherUsers();
  if (others === 0) return;
  throw new MoveRefusedError(
    `${others === 1 ? "Another process has" : `${others} other processes have`} ${name} open: stop what serves it ` +
      "(servers, workers and programs that connect to it), then run the same dibs move again",
  );
}
