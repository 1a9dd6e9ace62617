import { threadId } from "node:worker_threads";
import { Refuse, RetryLater } from "dibs";

/** A handler that does what its payload says, in its thread. */
export default async function handle({ task, signal, fence, attempt, heartbeat }) {
  const { what, ms } = task.payload;
  switch (what) {
    case "tell":
      return { threadId, fence, attempt, id: task.id, aborted: signal.aborted };
    case "compute":
      return block(ms);
    case "compute for ever":
      return block(Number.POSITIVE_INFINITY);
    case "wait":
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    case "beat":
      return (await heartbeat(ms)) - task.lease.expiresAt;
    case "refuse":
      throw new Refuse("no such customer");
    case "later":
      throw new RetryLater(ms, "the other side rests");
    case "throw":
      throw new TypeError("no such mailbox", { cause: new Error("socket closed") });
    case "return a function":
      return () => {};
    case "exit":
      return process.exit(3);
    default:
      throw new Error(`Unknown ${what}`);
  }
}

function block(ms) {
  const endAt = performance.now() + ms;
  while (performance.now() < endAt);
  return "computed";
}
