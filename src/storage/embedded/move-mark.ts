import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type MoveMark, parseMoveMark } from "../move-mark.ts";
import { NodeDisk } from "./node-disk.ts";

/** The mark of a move beside a folder's journal. Only the holder of the folder's lock writes it. */
const NAME = "move.json";

export async function readMoveMark(folder: string): Promise<MoveMark | undefined> {
  try {
    return parseMoveMark(await readFile(join(folder, NAME), "utf8"), folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Puts a mark in the place of the one before, or removes it; it survives a power cut when this resolves. */
export async function writeMoveMark(folder: string, mark: MoveMark | undefined): Promise<void> {
  if (mark === undefined) await rm(join(folder, NAME), { force: true });
  else {
    const fresh = join(folder, `${NAME}.new`);
    const file = await open(fresh, "w");
    try {
      await file.writeFile(JSON.stringify(mark));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, join(folder, NAME));
  }
  await new NodeDisk(folder).syncFolder();
}
