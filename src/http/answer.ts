import type { ClaimedTask } from "../task/task.ts";

/** What a route's function says; `respond.ts` puts it on the wire. */
export interface Answer {
  readonly status: number;
  /** Absent: no body. */
  readonly text?: string;
  /** Default `application/json; charset=utf-8`. */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Tasks that go back to their queue when this answer cannot be delivered. */
  readonly tasks?: readonly ClaimedTask[];
}

export const NO_CONTENT: Answer = Object.freeze({ status: 204 });

/** An answer whose body is JSON text already. */
export function jsonAnswer(text: string, status = 200): Answer {
  return { status, text };
}

/** An answer whose body is written here. */
export function objectAnswer(value: object, status = 200): Answer {
  return { status, text: JSON.stringify(value) };
}
