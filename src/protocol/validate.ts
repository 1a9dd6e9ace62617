import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { Static, TSchema } from "typebox";
import { type ErrorDetails, InvalidRequestError } from "../task/errors.ts";
import { QUEUE_NAME } from "../task/limits.ts";
import * as messages from "./messages.ts";

/**
 * The check that both doors, HTTP and the in-process client, make of what they are given. The first fault
 * is reported, with the field, the bound and the value.
 */
const SCHEMAS = {
  EnqueueBody: messages.EnqueueBody,
  EnqueueBatchBody: messages.EnqueueBatchBody,
  ClaimBody: messages.ClaimBody,
  CompleteBody: messages.CompleteBody,
  NackBody: messages.NackBody,
  ReleaseBody: messages.ReleaseBody,
  HeartbeatBody: messages.HeartbeatBody,
  SettleBody: messages.SettleBody,
  HeartbeatsBody: messages.HeartbeatsBody,
  QueuePatchBody: messages.QueuePatchBody,
  RequeueBody: messages.RequeueBody,
  NoFields: messages.NoFields,
  QueueParams: messages.QueueParams,
  TaskParams: messages.TaskParams,
  ResultQuery: messages.ResultQuery,
  ListQuery: messages.ListQuery,
  PurgeQuery: messages.PurgeQuery,
} as const satisfies Readonly<Record<string, TSchema>>;

export type SchemaName = keyof typeof SCHEMAS;
export type Checked<N extends SchemaName> = Static<(typeof SCHEMAS)[N]>;

/** Texts longer than this are cut where a message or `details` quotes them. */
const QUOTED_LENGTH_MAX = 100;

// `verbose` hands the failing schema to the message; the first fault is enough and bounds the work.
const ajv = new Ajv({ strict: true, strictTypes: false, verbose: true, validateSchema: false });

const validators = Object.fromEntries(
  Object.entries(SCHEMAS).map(([name, schema]) => [name, ajv.compile(schema)]),
) as Readonly<Record<SchemaName, ValidateFunction>>;

/** The schema of a name, as JSON Schema. */
export function schemaOf(name: SchemaName): TSchema {
  return SCHEMAS[name];
}

/**
 * The value itself, when it fits the schema.
 *
 * @throws {InvalidRequestError} that names the first field that does not fit.
 */
export function check<N extends SchemaName>(name: N, value: unknown, whole = "body"): Checked<N> {
  const validate = validators[name];
  if (validate(value)) return value as Checked<N>;
  const errors = validate.errors as ErrorObject[];
  // The errors hold what was checked, up to 16 MiB; ajv would keep them until the next fault.
  validate.errors = null;
  throw faultOf(errors, whole);
}

/** Makes the error of a field that does not fit: ``Expected `field` …, got …``. */
export function invalid(
  field: string,
  expected: string,
  bound: unknown,
  value: unknown,
): InvalidRequestError {
  const got = value === undefined ? "nothing" : quoted(value);
  return new InvalidRequestError(`Expected \`${field}\` ${expected}, got ${got}`, {
    details: detailsOf(field, bound, value),
  });
}

function detailsOf(field: string, bound: unknown, value: unknown): ErrorDetails {
  return value === undefined ? { field, bound } : { field, bound, value: small(value) };
}

interface FaultParams {
  readonly missingProperty?: string;
  readonly additionalProperty?: string;
  readonly propertyName?: string;
  readonly limit?: number;
}

interface SchemaShape {
  readonly type?: string;
  readonly properties?: object;
}

function faultOf(errors: readonly ErrorObject[], whole: string): InvalidRequestError {
  const error = tellingError(errors);
  const params = error.params as FaultParams;
  const field = fieldAt(error.instancePath, whole);
  switch (error.keyword) {
    case "required":
      return invalid(within(field, params.missingProperty, whole), "to be given", "required", undefined);
    case "additionalProperties":
      return unknownField(field, error, whole);
    case "propertyNames":
      return invalid(field, "to have other names in it", "names", params.propertyName);
    default: {
      const [expected, bound] = expectation(error);
      // A fault in the name of a member is found at the name, which has no place of its own.
      const at = error.propertyName === undefined ? field : within(field, error.propertyName, whole);
      return invalid(at, expected, bound, measured(error));
    }
  }
}

function unknownField(field: string, error: ErrorObject, whole: string): InvalidRequestError {
  const name = String((error.params as FaultParams).additionalProperty);
  const known = Object.keys((error.parentSchema as SchemaShape).properties ?? {});
  const path = within(field, name, whole);
  const hint = known.length === 0 ? "no field is known here" : `known here: ${known.join(", ")}`;
  return new InvalidRequestError(`Unknown field \`${path}\`; ${hint}`, {
    details: detailsOf(path, known, (error.data as Readonly<Record<string, unknown>>)[name]),
  });
}

/**
 * Of the errors of one fault the one that says most: ajv reports each branch of a union and then the union.
 * A branch of the value's own type names a better bound than the union does.
 */
function tellingError(errors: readonly ErrorObject[]): ErrorObject {
  const last = errors.at(-1) as ErrorObject;
  if (last.keyword === "propertyNames") return errors[0] as ErrorObject;
  if (last.keyword !== "anyOf") return last;
  return errors.find((error) => error.keyword !== "type" && error !== last) ?? last;
}

/** What was expected of the value, in words, and the bare bound for `details`. */
function expectation(error: ErrorObject): readonly [words: string, bound: unknown] {
  const { limit } = error.params as FaultParams;
  switch (error.keyword) {
    case "type":
      return [`to be ${withArticle(String(error.schema))}`, error.schema];
    case "anyOf": {
      const types = (error.schema as readonly SchemaShape[]).map((branch) => branch.type ?? "value");
      return [`to be ${types.map(withArticle).join(" or ")}`, types];
    }
    case "enum":
      return [`to be one of ${(error.schema as readonly string[]).join(", ")}`, error.schema];
    case "const":
      return [`to be ${quoted(error.schema)}`, error.schema];
    case "pattern":
      return [`to be ${patternInWords(error.schema)}`, error.schema];
    case "minimum":
      return [`to be ${limit} or more`, limit];
    case "maximum":
      return [`to be ${limit} or less`, limit];
    case "minLength":
    case "maxLength":
      return [
        `to be ${counted(limit, "character")} or ${error.keyword === "minLength" ? "more" : "less"}`,
        limit,
      ];
    case "minItems":
    case "maxItems":
      return [
        `to have ${counted(limit, "item")} or ${error.keyword === "minItems" ? "more" : "less"}`,
        limit,
      ];
    case "maxProperties":
      return [`to have ${counted(limit, "field")} or less`, limit];
    default:
      return [error.message ?? "to fit its schema", error.keyword];
  }
}

function counted(limit: number | undefined, noun: string): string {
  return limit === 1 ? `1 ${noun}` : `${limit} ${noun}s`;
}

/** The value, or its size where the size is what was wrong. */
function measured(error: ErrorObject): unknown {
  switch (error.keyword) {
    case "minLength":
    case "maxLength":
      return [...(error.data as string)].length;
    case "minItems":
    case "maxItems":
      return (error.data as readonly unknown[]).length;
    case "maxProperties":
      return Object.keys(error.data as object).length;
    default:
      return error.data;
  }
}

function patternInWords(pattern: unknown): string {
  if (pattern === QUEUE_NAME.source) return "1 to 100 of A-Z a-z 0-9 . _ -, beginning with a letter or digit";
  return "text of whole characters";
}

function withArticle(type: string): string {
  if (type === "null") return type;
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** `/tasks/3/priority` as `tasks[3].priority`. */
function fieldAt(pointer: string, whole: string): string {
  if (pointer === "") return whole;
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : within(path, part, "")), "");
}

function within(field: string, name: unknown, whole: string): string {
  const text = cut(String(name));
  return field === whole || field === "" ? text : `${field}.${text}`;
}

function cut(text: string): string {
  return text.length <= QUOTED_LENGTH_MAX ? text : `${text.slice(0, QUOTED_LENGTH_MAX)}…`;
}

/** A value that is small enough to be sent back. */
function small(value: unknown): unknown {
  if (typeof value === "string") return cut(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "number" || typeof value === "boolean" || value === null ? value : String(value);
}

function quoted(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(cut(value));
  return String(small(value));
}
