import type { MessagePort } from "node:worker_threads";
import type { JsonText } from "../task/task.ts";
import type { AbortCode } from "./errors.ts";
import type { ClaimedTaskView } from "./task-view.ts";

/** What goes to a thread with one task. */
export interface ThreadTask {
  /** `file:` URL of the module whose default export is the handler. */
  readonly module: string;
  readonly task: ClaimedTaskView;
  /** For what is said while the handler runs. */
  readonly port: MessagePort;
}

/** What the thread is told while its handler runs. */
export type ToThread =
  | { readonly kind: "abort"; readonly code: AbortCode; readonly message: string }
  | { readonly kind: "beaten"; readonly number: number; readonly expiresAt: number }
  | { readonly kind: "not-beaten"; readonly number: number; readonly code: string; readonly message: string };

/** What the thread asks for while its handler runs. */
export interface FromThread {
  readonly kind: "beat";
  readonly number: number;
  readonly leaseMs: number | undefined;
}

/** How the handler ended. Errors lose their classes between threads, so what they mean is said in words. */
export type ThreadEnd =
  | { readonly kind: "returned"; readonly resultJson: JsonText | undefined }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "retry-later"; readonly delayMs: number; readonly message: string }
  | { readonly kind: "threw"; readonly message: string; readonly stack: string };
