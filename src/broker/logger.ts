/**
 * Where the broker says what an operator should know. A pino logger fits as it is. Nothing is said for a
 * claim, an enqueue or a settle: what those need is in the metrics.
 */
export interface Logger {
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** For a broker inside somebody's program: the program is told by errors, not by lines. */
export const SILENT: Logger = Object.freeze({ info() {}, warn() {}, error() {} });
