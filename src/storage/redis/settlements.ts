import type { QueueName } from "../../task/ids.ts";
import { LIMITS } from "../../task/limits.ts";
import type { EpochMs, FinishedState } from "../../task/task.ts";
import { cutToBytes } from "../../task/text.ts";
import type { HeartbeatOutcome, Settlement, SettleOutcome } from "../storage.ts";
import { memberOf } from "./asks.ts";
import { stateOfLetter } from "./record.ts";

/** What the settle script answers. */
export type SettleScriptReply = readonly [
  now: number,
  more: number,
  words: string | string[],
  woken: number,
  ...granted: unknown[],
];

/** Writes settlements as the settle script reads them. */
export function pushSettlements(
  args: (string | number)[],
  queue: QueueName,
  settlements: readonly Settlement[],
): void {
  for (const settlement of settlements) {
    const [kind, a, b] = endingOf(settlement);
    args.push(kind, memberOf(queue, settlement.id), settlement.token, a, b);
  }
}

function endingOf(settlement: Settlement): readonly [kind: string, a: string, b: string | number] {
  switch (settlement.outcome) {
    case "complete":
      return settlement.result === undefined ? ["c", "", ""] : ["C", settlement.result, ""];
    case "nack": {
      const wait = settlement.delayMs ?? `r${settlement.random}`;
      return settlement.error === undefined ? ["n", "", wait] : ["N", cut(settlement.error), wait];
    }
    case "refuse":
      return settlement.error === undefined ? ["f", "", ""] : ["F", cut(settlement.error), ""];
    case "release":
      return [settlement.undelivered === true ? "u" : "l", "", ""];
  }
}

function cut(error: string): string {
  return cutToBytes(error, LIMITS.errorBytesMax);
}

/** Reads the script's word for what became of one: a letter, and what belongs to it. */
export function outcomeOf(word: string): SettleOutcome {
  switch (word.charAt(0)) {
    case "C":
      return { kind: "completed", ranMs: Number(word.slice(1)), repeated: false };
    case "P":
      return { kind: "completed", ranMs: 0, repeated: true };
    case "R":
      return { kind: "ready", ranMs: Number(word.slice(1)) };
    case "S": {
      const [ranMs, runAt] = word.slice(1).split(",");
      return { kind: "scheduled", ranMs: Number(ranMs), runAt: Number(runAt) };
    }
    case "D":
      return {
        kind: "dead",
        ranMs: Number(word.slice(2)),
        reason: word.charAt(1) === "r" ? "refused" : "attempts",
      };
    case "L":
      return { kind: "lease-lost", state: stateOfLetter(word.charAt(1)) };
    default:
      return { kind: "not-found" };
  }
}

/** The state in which an outcome ended its task, when it did. */
export function endOf(outcome: SettleOutcome): FinishedState | undefined {
  if (outcome.kind === "dead") return "dead";
  return outcome.kind === "completed" && !outcome.repeated ? "completed" : undefined;
}

/** Reads what became of a heartbeat. */
export function heartbeatOutcomeOf(word: string | number): HeartbeatOutcome {
  if (typeof word === "number") return { kind: "extended", expiresAt: word as EpochMs };
  if (word === "N") return { kind: "not-found" };
  return { kind: "lease-lost", state: stateOfLetter(word.charAt(1)) };
}
