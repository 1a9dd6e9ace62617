import type { TSchema } from "typebox";
import { BackoffPatch, FailureMessage, LeaseMessage, QueueConfigMessage } from "../protocol/fields.ts";
import * as messages from "../protocol/messages.ts";
import { ROUTE_NOTES } from "../protocol/route-notes.ts";
import { errorsOf, type Reply, ROUTES, type Route, type RouteName } from "../protocol/routes.ts";
import { STATUS } from "../protocol/status.ts";
import { schemaOf } from "../protocol/validate.ts";
import type { ErrorCode } from "../task/errors.ts";

/** Schemas that the document names once and refers to. */
const NAMED: Readonly<Record<string, TSchema>> = {
  Task: messages.TaskMessage,
  Failure: FailureMessage,
  Lease: LeaseMessage,
  Pruned: messages.PrunedMessage,
  Queue: messages.QueueMessage,
  QueueConfig: QueueConfigMessage,
  Error: messages.ErrorMessage,
  Enqueue: messages.EnqueueBody,
  Claim: messages.ClaimBody,
  Backoff: BackoffPatch,
};

type JsonObject = Readonly<Record<string, unknown>>;

/** The OpenAPI 3.1 document of all routes, from the schemas that check their requests. */
export function openApiDocument(needsToken: boolean): JsonObject {
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const [name, route] of Object.entries(ROUTES)) {
    const path = paths[route.path] ?? {};
    paths[route.path] = path;
    path[route.method.toLowerCase()] = operation(name, route, needsToken);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Dibs",
      version: "1.0.0",
      description:
        "A task queue whose workers call dibs: one round trip later they own a task under a lease.",
      license: { name: "MIT", identifier: "MIT" },
    },
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(NAMED).map(([name, schema]) => [name, described(schema)])),
      ...(needsToken ? { securitySchemes: { token: { type: "http", scheme: "bearer" } } } : {}),
    },
  };
}

function operation(name: string, route: Route, needsToken: boolean): JsonObject {
  const notes = ROUTE_NOTES[name as RouteName];
  const parameters = [...parametersIn("path", route.params), ...parametersIn("query", route.query)];
  return {
    operationId: name,
    summary: route.summary,
    ...(notes === undefined ? {} : { description: notes }),
    tags: [route.group],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: requestBody(route) }),
    responses: { ...successes(route), ...failures(route) },
    ...(needsToken && route.open !== true ? { security: [{ token: [] }] } : {}),
  };
}

function parametersIn(place: "path" | "query", name: Route["params"]): JsonObject[] {
  if (name === undefined) return [];
  const { properties, required = [] } = schemaOf(name) as ObjectSchema;
  return Object.entries(properties).map(([field, schema]) => ({
    name: field,
    in: place,
    required: required.includes(field),
    schema: referring(schema),
  }));
}

interface ObjectSchema {
  readonly properties: Readonly<Record<string, TSchema>>;
  readonly required?: readonly string[];
}

function requestBody(route: Route): JsonObject {
  const schema = referring(schemaOf(route.body as NonNullable<Route["body"]>));
  const example = route.example === undefined ? {} : { example: route.example };
  return { required: route.bodyOptional !== true, content: { "application/json": { schema, ...example } } };
}

function successes(route: Route): Record<string, JsonObject> {
  return Object.fromEntries(Object.entries(route.answers).map(([status, reply]) => [status, success(reply)]));
}

function success({ means, schema, contentType }: Reply): JsonObject {
  if (schema === undefined && contentType === undefined && !means.startsWith("OpenAPI"))
    return { description: means };
  const media = schema === undefined ? {} : { schema: referring(schema) };
  return { description: means, content: { [contentType ?? "application/json"]: media } };
}

function failures(route: Route): Record<string, JsonObject> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errorsOf(route)) {
    byStatus.set(STATUS[code], [...(byStatus.get(STATUS[code]) ?? []), code]);
  }
  return Object.fromEntries([...byStatus].map(([status, codes]) => [status, failure(codes)]));
}

function failure(codes: readonly ErrorCode[]): JsonObject {
  const schema = {
    type: "object",
    required: ["error", "requestId"],
    properties: {
      error: { allOf: [{ $ref: "#/components/schemas/Error" }, { properties: { code: { enum: codes } } }] },
      requestId: { type: "string" },
    },
  };
  return { description: codes.join(", "), content: { "application/json": { schema } } };
}

/** A schema with what it is made of referred to by name where it has one. */
function referring(schema: unknown): unknown {
  const name = Object.keys(NAMED).find((key) => NAMED[key] === schema);
  return name === undefined ? described(schema) : { $ref: `#/components/schemas/${name}` };
}

function described(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(referring);
  if (typeof schema !== "object" || schema === null) return schema;
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, referring(value)]));
}
