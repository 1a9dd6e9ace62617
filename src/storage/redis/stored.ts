import type { LeaseToken, QueueName } from "../../task/ids.ts";
import { randomPartOf } from "../../task/ids.ts";
import type { Task } from "../../task/task.ts";
import type { StoredTask } from "../stored-task.ts";
import { backoffText, bodyOf, parseBackoff, type StoredFields, taskOf } from "./record.ts";

/** What the import script answers. */
export type ImportScriptReply = [now: number, imported: number, nothing: string, made: number];

/** A task with all that stands of it in Redis, but for the hash of its key; see `record.ts` for the texts. */
export function storedTaskOf(queue: QueueName, random: string, fields: StoredFields): StoredTask {
  const task = taskOf(queue, random, fields);
  const [, , backoff] = fields.record.split(",", 3) as [string, string, string];
  // A task without a state was never claimed.
  const [releases = "0", fence = "0"] = [fields.state?.split(",")[7], fields.state?.split(",")[9]];
  const hasToken = task.state === "leased" || task.state === "completed";
  return {
    task,
    backoff: parseBackoff(backoff),
    releases: Number(releases),
    fence: Number(fence.split(".", 1)[0]),
    ...(hasToken && { token: fence as LeaseToken }),
  };
}

/** What the import script reads of a task; see `scripts/import.lua`. */
export function importArgs(stored: StoredTask): readonly (string | number)[] {
  const { task } = stored;
  const head = `${task.priority},${task.maxAttempts},${backoffText(stored.backoff)},${Buffer.byteLength(task.payload)}`;
  const record = `${head},${task.createdAt}\n${bodyOf(task)}`;
  const failures = failuresText(task);
  const past = `${head},${task.runAt},${task.attempt},${stored.releases},${failures === "" ? 0 : 1},${stored.token ?? stored.fence}`;
  const id = randomPartOf(task.id);
  switch (task.state) {
    case "ready": {
      const isFresh = past === `${head},${task.createdAt},0,0,0,0`;
      return [id, record, isFresh ? "" : `R,${past}`, "", failures, "", ""];
    }
    case "scheduled":
      return [id, record, `S,${past}`, "", failures, "", task.runAt];
    case "leased": {
      const { claimedAt, ms, worker = "", expiresAt } = task.lease;
      return [id, record, `L,${past}`, `,${claimedAt},${ms},${worker}`, failures, "", expiresAt];
    }
    case "completed": {
      const { finishedAt, result = "" } = task;
      const rest = `,${Buffer.byteLength(result)},`;
      return [id, record, `C,${past},${finishedAt}`, rest, failures, result, finishedAt];
    }
    case "dead": {
      const reason = task.deadReason === "refused" ? "r" : "a";
      return [id, record, `D,${past},${task.finishedAt}`, `,0,${reason}`, failures, "", task.finishedAt];
    }
    case "cancelled":
      return [id, record, `X,${past},${task.finishedAt}`, ",0,", failures, "", task.finishedAt];
  }
}

function failuresText({ failures, lastError }: Task): string {
  if (failures.length === 0 && lastError === undefined) return "";
  return JSON.stringify({
    l: lastError,
    f: failures.map(({ attempt, at, worker, error }) => ({ a: attempt, t: at, w: worker, e: error })),
  });
}
