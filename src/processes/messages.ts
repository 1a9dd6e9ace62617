import type { MetricsPart } from "../broker/peers.ts";
import type { QueueName } from "../task/ids.ts";

/** What the processes of one server, and the primary that started them, say to each other. */

/** What the server says of itself when it is ready. */
export interface Served {
  readonly url: string;
  /** Where the tasks are, without secrets. */
  readonly place: string;
  readonly durability: string;
  readonly text: string;
  /** What an operator of the store should know. */
  readonly warnings: readonly string[];
}

/** Why a process could not begin to serve. */
export interface StartFailure {
  readonly message: string;
  readonly report: unknown;
  readonly code: number;
}

/** What a process wants to know of all the others. */
export type Question =
  | { readonly kind: "queue"; readonly queue: QueueName }
  | { readonly kind: "waiting" }
  /** `own`: what the asking process would answer itself. */
  | { readonly kind: "metrics"; readonly own?: MetricsPart };

export type ToPrimary =
  | { readonly dibs: "ready"; readonly served: Served }
  | { readonly dibs: "failed"; readonly failure: StartFailure }
  | { readonly dibs: "ask"; readonly ask: number; readonly question: Question }
  | { readonly dibs: "answer"; readonly asked: number; readonly answer: unknown };

export type ToProcess =
  | { readonly dibs: "drain"; readonly signal: NodeJS.Signals }
  | { readonly dibs: "question"; readonly asked: number; readonly question: Question }
  | { readonly dibs: "answers"; readonly ask: number; readonly answers: readonly unknown[] };
