import { InvalidRequestError } from "./task/errors.ts";

/** How each kind of setting is read from what stands in the environment, the config file or a flag. */
export type Durability = "process" | "power" | "none";
export type StoreChoice =
  | { readonly kind: "folder"; readonly folder: string }
  | { readonly kind: "memory" }
  /** `url` may hold a password. */
  | { readonly kind: "redis"; readonly url: string };

/** A wrong setting; `details` has `field`, `bound` and, unless it is a secret, `value`. */
export class ConfigError extends InvalidRequestError {}

/** A value and where it stands, as the user knows it: `DIBS_PORT`, `--port`, `port in dibs.json`. */
export interface Given {
  readonly value: unknown;
  readonly name: string;
}
/** @throws {ConfigError} naming where the value stands, its bound and itself. */
export type Reader<T> = (given: Given, field: string) => T;

/** What follows is the engine's to read, when it is opened. */
const REDIS = /^(redis|rediss|valkey|valkeys)([+-](cluster|sentinel))?$/;

export function readStore(given: Given): StoreChoice {
  const bound = "a folder, memory: or the address of a Redis";
  const { value } = given;
  if (typeof value !== "string" || value === "") throw refused(given, "store", bound, value);
  if (value === "memory:") return { kind: "memory" };
  // A drive letter of Windows is no scheme.
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(value)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: "folder", folder: value };
  // The rest of such an address may hold a password, so only its scheme is shown.
  const shown = `${scheme}:…`;
  if (REDIS.test(scheme)) return { kind: "redis", url: value };
  if (/^https?$/.test(scheme))
    throw refused(given, "store", `${bound}: a running server is named with --url or DIBS_URL`, shown);
  throw refused(given, "store", bound, shown);
}

/** What the keys of a store in Redis begin with. A brace would decide on the slot of every key in a cluster. */
export const PREFIX = { pattern: /^[^\s{}]{1,100}$/, bound: "1 to 100 characters without spaces and braces" };

export function readPrefix(given: Given): string {
  const { value } = given;
  if (typeof value === "string" && PREFIX.pattern.test(value)) return value;
  throw refused(given, "prefix", PREFIX.bound, value);
}

export function readPath(given: Given, field: string): string {
  const { value } = given;
  if (typeof value === "string" && value !== "") return value;
  throw refused(given, field, "the path of a file", value);
}

export function readHost(given: Given): string {
  const { value } = given;
  if (typeof value === "string" && /^[^\s/]+$/.test(value)) return value;
  throw refused(given, "host", "an IP address or a host name", value);
}

export function readTokens(given: Given): readonly string[] {
  const list =
    typeof given.value === "string" ? given.value.split(",").map((each) => each.trim()) : given.value;
  if (Array.isArray(list) && list.length > 0 && list.every(isToken)) return list;
  throw refused(
    given,
    "tokens",
    "a list of tokens, separated by commas, each of visible ASCII without spaces",
  );
}

export function readToken(given: Given): string {
  if (isToken(given.value)) return given.value;
  throw refused(given, "token", "visible ASCII without spaces");
}

function isToken(value: unknown): value is string {
  return typeof value === "string" && /^[\x21-\x2b\x2d-\x7e]+$/.test(value);
}

export function readUrl(given: Given): string {
  const { value } = given;
  if (typeof value === "string" && /^https?:\/\/[^/]/i.test(value) && URL.canParse(value)) return value;
  throw refused(given, "url", "an http:// or https:// address", value);
}

export function readBoolean(given: Given, field: string): boolean {
  const { value } = given;
  if (value === true || value === "true" || value === "1") return true;
  if (value === false || value === "false" || value === "0") return false;
  throw refused(given, field, "true or false", value);
}

export function wholeNumber(min: number, max: number): Reader<number> {
  return (given, field) => {
    const { value } = given;
    const number = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
    if (Number.isInteger(number) && (number as number) >= min && (number as number) <= max)
      return number as number;
    throw refused(given, field, `a whole number from ${min} to ${max}`, value);
  };
}

/** A whole number, or `auto`: the program finds one that fits. */
export function autoOrWholeNumber(min: number, max: number): Reader<number | "auto"> {
  const read = wholeNumber(min, max);
  return (given, field) => {
    if (given.value === "auto") return "auto";
    try {
      return read(given, field);
    } catch {
      throw refused(given, field, `auto, or a whole number from ${min} to ${max}`, given.value);
    }
  };
}

export function oneOf<const T extends string>(words: readonly T[]): Reader<T> {
  return (given, field) => {
    if ((words as readonly unknown[]).includes(given.value)) return given.value as T;
    throw refused(given, field, `one of ${words.join(", ")}`, given.value);
  };
}

/** Without `value` for secrets: they never reach a message. */
export function refused(given: Given, field: string, bound: string, value?: unknown): ConfigError {
  const got = value === undefined ? "" : `, got ${JSON.stringify(value)}`;
  return new ConfigError(`Expected ${given.name} to be ${bound}${got}`, {
    details: { field, bound, ...(value === undefined ? {} : { value }) },
  });
}
