import { mark } from "../../../claim-marks.ts";
import { StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection, Waiter } from "./connection.ts";
import type { Reply, ReplyError } from "./reply-parser.ts";
import type { Script } from "./script.ts";

/** The one that knows what an error reply means for a call. */
export interface CallHost {
  refused(call: Call, error: ReplyError, by: Connection): void;
  settled(): void;
}

/** One call under way: what is to be sent, and who waits for it. */
export class Call implements Waiter {
  readonly key: string;
  readonly name: string;
  readonly script: Script | undefined;
  readonly text: string;
  readonly dueAt: number;
  /** How often it was sent again, after answers that say it was not executed. */
  again = 0;
  readonly #host: CallHost;
  readonly #resolve: (value: Reply) => void;
  readonly #reject: (error: Error) => void;

  constructor(
    host: CallHost,
    what: { key: string; name: string; script?: Script; text: string },
    dueAt: number,
    resolve: (value: Reply) => void,
    reject: (error: Error) => void,
  ) {
    this.#host = host;
    this.key = what.key;
    this.name = what.name;
    this.script = what.script;
    this.text = what.text;
    this.dueAt = dueAt;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  answered(value: Reply): void {
    mark("answered", this);
    this.#host.settled();
    this.#resolve(value);
  }

  refused(error: ReplyError, by: Connection): void {
    this.#host.refused(this, error, by);
  }

  lost(reason: string): void {
    this.fail(
      new StorageUnavailableError(
        `Lost the connection to Redis in the middle of ${this.name}: it is not known whether it was applied (${reason})`,
        { details: { applied: "unknown" } },
      ),
    );
  }

  fail(error: Error): void {
    this.#host.settled();
    this.#reject(error);
  }
}
