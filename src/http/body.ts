import { isUtf8 } from "node:buffer";
import { tooDeep } from "../protocol/requests.ts";
import { nestsDeeperThan } from "../protocol/source.ts";
import { InvalidRequestError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";

/** Levels that the body itself puts around a payload: the object, its list and the item. */
const AROUND_PAYLOAD = 3;

/** A request's body: its text, and the value of that text. */
export interface Body {
  readonly text: string;
  readonly value: unknown;
}

/** @throws {InvalidRequestError} for what is not JSON in UTF-8, or nests too deep to be handled by anyone. */
export function parseBody(bytes: Buffer): Body {
  if (!isUtf8(bytes)) throw fault("UTF-8");
  const text = bytes.toString();
  // Before parsing: V8 takes seconds for megabytes of opening brackets.
  if (nestsDeeperThan(text, LIMITS.jsonDepthMax + AROUND_PAYLOAD)) throw tooDeep("body");
  try {
    return { text, value: JSON.parse(text) as unknown };
  } catch (cause) {
    throw fault(`JSON (${(cause as Error).message})`);
  }
}

function fault(expected: string): InvalidRequestError {
  return new InvalidRequestError(`Expected the body to be ${expected}`, {
    details: { field: "body", bound: expected.slice(0, 5).trim() },
  });
}
