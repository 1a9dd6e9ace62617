import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { isBench, readBench } from "./bench-side.ts";
import { jsonObjectsIn } from "./json-in-text.ts";
import { isK6, readK6 } from "./k6-side.ts";
import { isLoad, readLoad } from "./load-side.ts";
import type { Reading } from "./reading.ts";
import { disagreements, type Side } from "./side.ts";

/** The file is not what can be compared; the message names it. */
export class UnreadableSide extends Error {}

/** So many whole runs say how much runs differ; of fewer, the parts of each must do. */
const WHOLE_MIN = 5;

/**
 * Reads what `dibs bench` or `dibs load` saved, or what a script of `loadtest/k6/` wrote; several of them in one file,
 * each after the other, are one side with the runs of all.
 *
 * @throws {UnreadableSide}
 */
export async function readSide(path: string): Promise<Side> {
  const text = await readText(path);
  try {
    return sideOf(basename(path), jsonObjectsIn(text).flatMap(readingsOf));
  } catch (error) {
    throw new UnreadableSide(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UnreadableSide(code === "ENOENT" ? `There is no file ${path}` : `Cannot read ${path}: ${code}`);
  }
}

function readingsOf(value: unknown): Reading[] {
  if (isBench(value)) return [readBench(value)];
  if (isLoad(value)) return [readLoad(value)];
  return isK6(value) ? [readK6(value)] : [];
}

function sideOf(label: string, readings: readonly Reading[]): Side {
  const [first, ...others] = readings;
  if (first === undefined) {
    throw new Error("Expected a report of dibs bench or dibs load, or what a script of loadtest/k6 wrote");
  }
  for (const other of others) {
    const [odd] = disagreements({ label, ...first }, { label, ...other });
    if (odd !== undefined)
      throw new Error(`Its ${readings.length} reports are not of one thing: ${odd.text}`);
  }
  const { whole: _, ...side } = first;
  return { ...side, label, ...runsOf(readings), notes: [...new Set(readings.flatMap(({ notes }) => notes))] };
}

/** Runs where there are enough of them, else their parts. */
function runsOf(readings: readonly Reading[]): Pick<Side, "runs" | "settings"> {
  const settings = readings[0]?.settings ?? {};
  const whole = readings.flatMap((reading) => reading.whole ?? []);
  if (whole.length === 0) return { runs: readings.flatMap(({ runs }) => runs), settings };
  return whole.length >= WHOLE_MIN
    ? { runs: whole, settings: { ...settings, parts: "runs" } }
    : { runs: readings.flatMap(({ runs }) => runs), settings: { ...settings, parts: "tenths of runs" } };
}
