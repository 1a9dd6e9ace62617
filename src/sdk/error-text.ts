import { LIMITS } from "../task/limits.ts";
import { cutToBytes } from "../task/text.ts";

/** Causes within causes that are told. */
const CAUSES_MAX = 5;

/** What a handler threw, as the text of a nack: message, stack and causes, cut to 10 kB. */
export function errorText(thrown: unknown): string {
  const parts = [described(thrown)];
  let error = thrown;
  for (let depth = 1; depth <= CAUSES_MAX; depth += 1) {
    error = error instanceof Error ? error.cause : undefined;
    if (error === undefined) break;
    parts.push(`Caused by: ${described(error)}`);
  }
  return cutToBytes(parts.join("\n"), LIMITS.errorBytesMax);
}

function described(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === "string" ? error : asJson(error);
  const head = `${error.name}: ${error.message}`;
  const { stack } = error;
  if (!stack) return head;
  // A message that was changed after the error was made is not in its stack.
  return stack.includes(error.message) ? stack : `${head}\n${stack}`;
}

function asJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // A cycle or a BigInt: its name has to do.
    return String(value);
  }
}
