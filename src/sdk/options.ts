import { InvalidRequestError } from "../task/errors.ts";

/** @throws {InvalidRequestError} naming the first option that is not known, and those that are. */
export function refuseUnknown(what: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new InvalidRequestError(`${what} has no option ${unknown}; it knows ${known.join(", ")}`, {
    details: { option: unknown },
  });
}

/** @throws {InvalidRequestError} unless the value is absent, or a whole number within the bounds. */
export function checkWhole(name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw new InvalidRequestError(
    `Expected ${name} to be a whole number from ${min} to ${max}, got ${String(value)}`,
    {
      details: { field: name, minimum: min, maximum: max, value },
    },
  );
}

/**
 * The fields without those whose value is undefined: JSON leaves them out, and a door in this process must
 * see the same as one across the network.
 */
export function present<T extends object>(fields: T): T {
  if (!Object.values(fields).includes(undefined)) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
