import { CommanderError } from "commander";
import { DibsError } from "../task/errors.ts";

/** Exit codes, the same for every command. */
export const EXIT = {
  done: 0,
  failed: 1,
  /** The command line, a setting or a value in the request is wrong. */
  usage: 2,
  /** Not judged, or not finished: nothing is known to be wrong. */
  incomplete: 3,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `Exit codes:
  0 done   1 failed   2 usage   3 not judged or incomplete   130 interrupted`;

/** The command line contradicts itself; told to the user as it stands, without a stack. */
export class UsageError extends Error {}

/** A failure that needs no stack: its message says it all. */
export class CommandFailed extends Error {}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError || error instanceof CommanderError) return EXIT.usage;
  if (error instanceof DibsError && error.code === "invalid_request") return EXIT.usage;
  return EXIT.failed;
}

export interface ErrorReport {
  readonly error: { readonly code: string; readonly message: string; readonly details?: unknown };
  readonly requestId?: string;
}

/** An error in the form of the HTTP answers, for `--json`. */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof DibsError) {
    const details = Object.keys(error.details).length === 0 ? {} : { details: error.details };
    const requestId = error.requestId === undefined ? {} : { requestId: error.requestId };
    return { error: { code: error.code, message: error.message, ...details }, ...requestId };
  }
  const message = error instanceof Error ? error.message : String(error);
  const usage = error instanceof UsageError || error instanceof CommanderError;
  const code = usage ? "usage" : error instanceof CommandFailed ? "failed" : "internal_error";
  return { error: { code, message: message.replace(/^error: /, "") } };
}
