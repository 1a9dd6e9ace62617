import { DibsError } from "../../task/errors.ts";
import { remedyOf } from "./care/remedy.ts";
import { FORMAT_VERSION, segmentName, VERSION_AT } from "./segment.ts";

/** The journal is damaged where it must not be: nothing was changed, nothing is opened. */
export class CorruptJournalError extends DibsError {
  readonly file: string;
  readonly offset: number;
  readonly why: string;

  constructor(file: string, offset: number, why: string, folder?: string) {
    const place = folder === undefined ? file : `${file} in ${folder}`;
    const remedy = folder === undefined ? "" : `\n${remedyOf(folder)}`;
    super(
      "storage_unavailable",
      `The journal is damaged: ${place} at offset ${offset}: ${why}. Nothing was changed.${remedy}`,
      { details: { file, offset, ...(folder === undefined ? undefined : { folder }) } },
    );
    this.file = file;
    this.offset = offset;
    this.why = why;
  }

  /** The same, for whoever knows the folder. */
  inFolder(folder: string): CorruptJournalError {
    return new CorruptJournalError(this.file, this.offset, this.why, folder);
  }
}

/** @throws {DibsError} always: what a later version wrote is not guessed at. */
export function refuseNewerFormat(number: number, version: number): never {
  throw new DibsError(
    "storage_unavailable",
    `${segmentName(number)} has format version ${version}; this version of Dibs reads up to ${FORMAT_VERSION}. Use the newer one`,
    { details: { file: segmentName(number), offset: VERSION_AT, version, versionMax: FORMAT_VERSION } },
  );
}
