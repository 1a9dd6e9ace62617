import type { TSchema } from "typebox";
import { TaskMessage } from "../../src/protocol/messages.ts";
import { ROUTE_NOTES } from "../../src/protocol/route-notes.ts";
import { errorsOf, ROUTES, type Route, type RouteName } from "../../src/protocol/routes.ts";
import { STATUS } from "../../src/protocol/status.ts";
import { schemaOf } from "../../src/protocol/validate.ts";
import type { ErrorCode } from "../../src/task/errors.ts";

/** Writes the second half of docs/protocol.md: what is known of errors, tasks and routes, with exchanges. */
export function generatedPart(exchanges: ReadonlyMap<RouteName, string>): string {
  const names = Object.keys(ROUTES) as RouteName[];
  const groups = [...new Set(names.map((name) => ROUTES[name].group))];
  const sections = groups.flatMap((group) => [
    `## ${group}`,
    ...names
      .filter((name) => ROUTES[name].group === group)
      .map((name) => routeSection(name, exchanges.get(name) ?? "")),
  ]);
  return [errorSection(), taskSection(), ...sections].join("\n\n");
}

const MEANINGS: Readonly<Record<ErrorCode, string>> = {
  invalid_request:
    "malformed JSON, an unknown field, a wrong type, out of range; `details` has `field`, `bound` and `value`",
  unauthorized: "no token, or one that this server does not know",
  forbidden: "the page of another site asked a server without tokens",
  task_not_found: "no task has this id, or it was pruned",
  queue_not_found: "no queue has this name",
  not_found: "no route has this method and path; `details.allow` has the methods of the path",
  lease_lost: "the token is not that of the task's live lease; `details.state` is where the task is",
  wrong_state: "the task's state does not allow this; `details.state`",
  idempotency_conflict: "the key was seen with another payload; `details.id` is the first task's",
  payload_too_large: "a payload or result over the server's limit, or a body over 16 MiB",
  rate_limited: "too many requests; kept for servers that limit, this one does not",
  queue_full: "the queue's `maxDepth`, or the store's bound on tasks or on memory, is reached",
  internal_error: "a fault of the server; its log has the request id",
  storage_unavailable: "the engine cannot answer now; nothing was acknowledged",
  shutting_down: "the server drains",
  timeout: "made by the client library: no answer in time",
  connection_lost: "made by the client library: the connection broke before the answer",
};

function errorSection(): string {
  const rows = (Object.keys(STATUS) as ErrorCode[]).map(
    (code) => `| \`${code}\` | ${STATUS[code]} | ${MEANINGS[code]} |`,
  );
  return [
    "## Errors",
    'Every error has one form: `{"error": {"code": "…", "message": "…", "details": {…}?}, "requestId": "…"}`. The message names\n' +
      "the thing, the bound and the value. Answers with status 429 and 503 carry `Retry-After`, in seconds.",
    ["| code | status | when |", "|---|---|---|", ...rows].join("\n"),
  ].join("\n\n");
}

function taskSection(): string {
  return [
    "## The task",
    "Where an answer is the task, it is this object at the top level.",
    fieldTable(TaskMessage),
  ].join("\n\n");
}

function routeSection(name: RouteName, exchange: string): string {
  const route: Route = ROUTES[name];
  const parts = [`### ${route.summary}`, `\`${route.method} ${route.path}\``];
  const notes = ROUTE_NOTES[name];
  if (notes !== undefined) parts.push(wrapped(notes));
  const tables = [route.query, route.body].flatMap((schema) =>
    schema === undefined ? [] : [fieldTable(schemaOf(schema))],
  );
  parts.push(...tables.filter((table) => table !== ""), replies(route), exchange);
  return parts.join("\n\n");
}

function replies(route: Route): string {
  const good = Object.entries(route.answers).map(([status, { means }]) => `- ${status}: ${means}`);
  const bad = errorsOf(route).map((code) => `${STATUS[code]} \`${code}\``);
  return [...good, ...(bad.length === 0 ? [] : [wrapped(`- ${bad.join(", ")}`, "  ")])].join("\n");
}

interface Shape {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
}

function fieldTable(schema: TSchema): string {
  const rows = rowsOf(schema as Shape, "");
  return rows.length === 0
    ? ""
    : ["| field | type and bounds | meaning |", "|---|---|---|", ...rows].join("\n");
}

function rowsOf({ properties = {}, required = [] }: Shape, path: string): string[] {
  return Object.entries(properties).flatMap(([name, field]) => {
    const star = required.includes(name) ? "*" : "";
    const meaning = [
      field.description,
      field.default === undefined ? undefined : `Default ${JSON.stringify(field.default)}.`,
    ];
    const row = `| \`${path}${name}\`${star} | ${typeInWords(field)} | ${meaning.filter(Boolean).join(" ")} |`;
    // The tasks of a batch are described where one is; only what is small is spelled out in place.
    const nested =
      field.items?.properties !== undefined && path === "" && name === "tasks"
        ? []
        : rowsOf(field.items ?? {}, `${path}${name}[].`);
    return [row, ...rowsOf(field, `${path}${name}.`), ...nested];
  });
}

function typeInWords(schema: Shape): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(" or ");
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeInWords).join(" or ");
  if (schema.type === "array") {
    const count =
      schema.maxItems === undefined ? "" : `${schema.minItems ?? 0} to ${figure(schema.maxItems)} `;
    return `${count}${schema.items?.type === "object" ? "objects" : `${schema.items?.type}s`}`;
  }
  if (schema.minimum !== undefined && schema.maximum !== undefined) {
    return `integer, ${figure(schema.minimum)} to ${figure(schema.maximum)}`;
  }
  if (schema.maxLength !== undefined)
    return `text, ${schema.minLength ?? 0} to ${figure(schema.maxLength)} characters`;
  return { string: "text", undefined: "any JSON" }[String(schema.type)] ?? String(schema.type);
}

function figure(value: number): string {
  return value.toLocaleString("en-US");
}

/** Markdown in lines that fit a terminal. */
function wrapped(text: string, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > 110) {
      lines.push(line);
      line = `${indent}${word}`;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
