import { channel } from "node:diagnostics_channel";

/**
 * Where a claim is on its way, said by the product and heard by who profiles it (`lab/profile`). Each moment names
 * what passes: whoever listens tells claims apart by that object, and follows them from one to the next by `of`, or
 * because the next mark is said within the same call.
 *
 * | moment | subject | it begins, or has just ended |
 * |---|---|---|
 * | `arrived` | HTTP request | its handler was called: head and body are read |
 * | `served` | door's call, of the HTTP request | the turn in which it arrived is over, its JSON is about to be parsed |
 * | `checking`, `checked` | door's call | validation |
 * | `asked` | claim | it is the broker's, within the call that was `checked` last |
 * | `queued` | merged call | it waits for the next storage call |
 * | `sent` | list of merged calls | one storage call is made of them |
 * | `handed`, `flushed`, `answered` | call of Redis, of its connection; connection; call of Redis | on the wire |
 * | `replied` | list of merged calls | the storage has answered, each is about to get its part |
 * | `resumed` | door's call | it has its tasks, their JSON is about to be made |
 * | `told` | door's call | its JSON is made |
 * | `writing`, `written` | HTTP request | the answer is given to the socket |
 *
 * In process the door's call is the body that was given.
 */
export type ClaimMoment =
  | "arrived"
  | "served"
  | "checking"
  | "checked"
  | "asked"
  | "queued"
  | "sent"
  | "handed"
  | "flushed"
  | "answered"
  | "replied"
  | "resumed"
  | "told"
  | "writing"
  | "written";

export interface ClaimMark {
  readonly moment: ClaimMoment;
  readonly subject: object;
  readonly of: object | undefined;
}

/** Carries a {@link ClaimMark} for each moment, while somebody has subscribed. */
export const claimMarks = channel("dibs:claim");

/** One branch when nobody listens: nothing is made, no clock is read. */
export function mark(moment: ClaimMoment, subject: object, of?: object): void {
  if (claimMarks.hasSubscribers) claimMarks.publish({ moment, subject, of } satisfies ClaimMark);
}
