import { InvalidRequestError } from "../task/errors.ts";
import type { JsonText } from "../task/task.ts";

/**
 * The JSON text of a value; undefined when the value is undefined, which JSON leaves out.
 *
 * @throws {InvalidRequestError} when JSON cannot say it (a BigInt, a cycle, a function), naming `what`.
 */
export function toJsonText(what: string, value: unknown): JsonText | undefined {
  if (value === undefined) return undefined;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new InvalidRequestError(`${what} cannot be written as JSON: ${reason(error)}`, { cause: error });
  }
  if (text === undefined) {
    throw new InvalidRequestError(`${what} cannot be written as JSON: it is a ${typeof value}`);
  }
  return text;
}

/** Adds a field whose value is JSON text to the JSON text of an object. */
export function withJsonField(object: JsonText, name: string, value: JsonText | undefined): JsonText {
  if (value === undefined) return object;
  const comma = object.length > 2 ? "," : "";
  return `${object.slice(0, -1)}${comma}"${name}":${value}}`;
}

function reason(error: unknown): string {
  // The engine draws cycles over several lines with leading spaces.
  return error instanceof Error ? error.message.replace(/\s+/g, " ") : String(error);
}
