import type { LogFields, Logger } from "../broker/logger.ts";

/** Where the server says what happened; a pino logger fits as it is. */
export interface ServerLogger extends Logger {
  debug(fields: LogFields, message: string): void;
  /** Lets the server skip the making of lines that nobody reads. */
  isLevelEnabled(level: string): boolean;
}
