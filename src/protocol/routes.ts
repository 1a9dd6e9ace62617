import type { TSchema } from "typebox";
import type { ErrorCode } from "../task/errors.ts";
import * as messages from "./messages.ts";
import type { Checked, SchemaName } from "./validate.ts";

/**
 * Every route of the server, once: the server registers them, the OpenAPI document and the page at `/docs`
 * show them, and the tests are counted against them.
 */
export interface Route {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Parameters stand in braces, as OpenAPI writes them. */
  readonly path: string;
  readonly group: Group;
  readonly summary: string;
  readonly params?: SchemaName;
  readonly query?: SchemaName;
  readonly body?: SchemaName;
  /** The body may be left out. */
  readonly bodyOptional?: true;
  /** Answers other than errors, by status. */
  readonly answers: Readonly<Record<number, Reply>>;
  /** Errors of its own, besides those that every route has. */
  readonly errors: readonly ErrorCode[];
  /** Answers without a token too. */
  readonly open?: true;
  /** A body to try it with. */
  readonly example?: unknown;
}

export type Group = "Producing" | "Working" | "Looking and operating" | "The server";

export interface Reply {
  readonly means: string;
  /** Absent: no body. */
  readonly schema?: TSchema;
  /** Default `application/json`. */
  readonly contentType?: string;
}

const theTask: Reply = { means: "The task.", schema: messages.TaskMessage };
const theQueue: Reply = { means: "The queue.", schema: messages.QueueMessage };
const settled: Reply = { means: "Where the task is now.", schema: messages.SettledAnswer };
const held: readonly ErrorCode[] = ["task_not_found", "lease_lost"];

export const ROUTES = {
  enqueue: {
    method: "POST",
    path: "/v1/tasks",
    group: "Producing",
    summary: "Enqueue a task",
    body: "EnqueueBody",
    answers: {
      200: {
        means: "The idempotency key was seen: the first task, as it is now.",
        schema: messages.EnqueueReply,
      },
      201: { means: "The new task.", schema: messages.EnqueueReply },
    },
    errors: ["idempotency_conflict", "payload_too_large", "queue_full"],
    example: { queue: "emails", payload: { to: "a@b.c" } },
  },
  enqueueBatch: {
    method: "POST",
    path: "/v1/tasks/batch",
    group: "Producing",
    summary: "Enqueue up to 1,000 tasks",
    body: "EnqueueBatchBody",
    answers: { 200: { means: "One result for each task, in order.", schema: messages.EnqueueBatchAnswer } },
    errors: ["payload_too_large"],
    example: {
      tasks: [
        { queue: "emails", payload: { to: "a@b.c" } },
        { queue: "emails", priority: 9 },
      ],
    },
  },
  task: {
    method: "GET",
    path: "/v1/tasks/{id}",
    group: "Producing",
    summary: "Read a task",
    params: "TaskParams",
    answers: { 200: theTask },
    errors: ["task_not_found"],
  },
  result: {
    method: "GET",
    path: "/v1/tasks/{id}/result",
    group: "Producing",
    summary: "Read the result of a task, or wait for it",
    params: "TaskParams",
    query: "ResultQuery",
    answers: {
      200: { means: "The task is finished.", schema: messages.ResultAnswer },
      202: { means: "Not yet.", schema: messages.ResultAnswer },
    },
    errors: ["task_not_found"],
  },
  cancel: {
    method: "POST",
    path: "/v1/tasks/{id}/cancel",
    group: "Producing",
    summary: "Cancel a task that is not finished",
    params: "TaskParams",
    body: "NoFields",
    bodyOptional: true,
    answers: { 200: theTask },
    errors: ["task_not_found", "wrong_state"],
  },
  claim: {
    method: "POST",
    path: "/v1/claims",
    group: "Working",
    summary: "Claim tasks under a lease",
    body: "ClaimBody",
    answers: {
      200: { means: "At least one task; each lease carries its token.", schema: messages.ClaimAnswer },
      204: { means: "No task." },
    },
    errors: [],
    example: { queues: ["emails"], max: 1, waitMs: 10_000 },
  },
  complete: {
    method: "POST",
    path: "/v1/tasks/{id}/complete",
    group: "Working",
    summary: "Complete a claimed task",
    params: "TaskParams",
    body: "CompleteBody",
    answers: { 200: settled },
    errors: [...held, "payload_too_large"],
    example: { leaseToken: "…", result: { messageId: "m-17" } },
  },
  nack: {
    method: "POST",
    path: "/v1/tasks/{id}/nack",
    group: "Working",
    summary: "Report a failed attempt",
    params: "TaskParams",
    body: "NackBody",
    answers: { 200: settled },
    errors: held,
    example: { leaseToken: "…", error: "mail server refused" },
  },
  release: {
    method: "POST",
    path: "/v1/tasks/{id}/release",
    group: "Working",
    summary: "Hand a claimed task back, its attempt uncounted",
    params: "TaskParams",
    body: "ReleaseBody",
    answers: { 200: settled },
    errors: [...held, "wrong_state"],
    example: { leaseToken: "…" },
  },
  heartbeat: {
    method: "POST",
    path: "/v1/tasks/{id}/heartbeat",
    group: "Working",
    summary: "Extend a lease",
    params: "TaskParams",
    body: "HeartbeatBody",
    answers: { 200: { means: "When the lease ends now.", schema: messages.HeartbeatAnswer } },
    errors: held,
    example: { leaseToken: "…" },
  },
  settle: {
    method: "POST",
    path: "/v1/settle",
    group: "Working",
    summary: "Settle up to 1,000 tasks, then claim the next ones",
    body: "SettleBody",
    answers: {
      200: {
        means: "One result for each outcome, in order, and the tasks claimed.",
        schema: messages.SettleAnswer,
      },
    },
    errors: [],
    example: {
      outcomes: [{ id: "…", leaseToken: "…", outcome: "complete" }],
      claim: { queues: ["emails"], waitMs: 10_000 },
    },
  },
  heartbeats: {
    method: "POST",
    path: "/v1/heartbeats",
    group: "Working",
    summary: "Extend up to 1,000 leases",
    body: "HeartbeatsBody",
    answers: { 200: { means: "One result for each lease, in order.", schema: messages.HeartbeatsAnswer } },
    errors: [],
    example: { leases: [{ id: "…", leaseToken: "…" }] },
  },
  queues: {
    method: "GET",
    path: "/v1/queues",
    group: "Looking and operating",
    summary: "List the queues",
    answers: { 200: { means: "All queues, by name.", schema: messages.QueuesAnswer } },
    errors: [],
  },
  queue: {
    method: "GET",
    path: "/v1/queues/{queue}",
    group: "Looking and operating",
    summary: "Read a queue, its configuration and latency",
    params: "QueueParams",
    answers: { 200: theQueue },
    errors: ["queue_not_found"],
  },
  configure: {
    method: "PATCH",
    path: "/v1/queues/{queue}",
    group: "Looking and operating",
    summary: "Configure a queue; the first time creates it",
    params: "QueueParams",
    body: "QueuePatchBody",
    answers: { 200: theQueue },
    errors: [],
    example: { leaseMs: 60_000, maxDepth: 100_000, retention: { completedMs: 86_400_000 } },
  },
  pause: {
    method: "POST",
    path: "/v1/queues/{queue}/pause",
    group: "Looking and operating",
    summary: "Stop handing out the tasks of a queue",
    params: "QueueParams",
    body: "NoFields",
    bodyOptional: true,
    answers: { 200: theQueue },
    errors: ["queue_not_found"],
  },
  resume: {
    method: "POST",
    path: "/v1/queues/{queue}/resume",
    group: "Looking and operating",
    summary: "Hand out the tasks of a queue again",
    params: "QueueParams",
    body: "NoFields",
    bodyOptional: true,
    answers: { 200: theQueue },
    errors: ["queue_not_found"],
  },
  list: {
    method: "GET",
    path: "/v1/queues/{queue}/tasks",
    group: "Looking and operating",
    summary: "List the tasks of a queue in one state",
    params: "QueueParams",
    query: "ListQuery",
    answers: {
      200: { means: "A page; the cursor of the next one when there is more.", schema: messages.ListAnswer },
    },
    errors: ["queue_not_found"],
  },
  requeue: {
    method: "POST",
    path: "/v1/tasks/{id}/requeue",
    group: "Looking and operating",
    summary: "Bring a dead, cancelled or scheduled task to ready now",
    params: "TaskParams",
    body: "NoFields",
    bodyOptional: true,
    answers: { 200: theTask },
    errors: ["task_not_found", "wrong_state"],
  },
  requeueDead: {
    method: "POST",
    path: "/v1/queues/{queue}/requeue",
    group: "Looking and operating",
    summary: "Requeue dead tasks, oldest first",
    params: "QueueParams",
    body: "RequeueBody",
    answers: { 200: { means: "How many.", schema: messages.RequeuedAnswer } },
    errors: ["queue_not_found"],
    example: { state: "dead", limit: 100 },
  },
  purge: {
    method: "DELETE",
    path: "/v1/queues/{queue}/tasks",
    group: "Looking and operating",
    summary: "Delete the tasks of a queue in one state",
    params: "QueueParams",
    query: "PurgeQuery",
    body: "NoFields",
    bodyOptional: true,
    answers: { 200: { means: "How many.", schema: messages.DeletedAnswer } },
    errors: ["queue_not_found"],
  },
  healthz: {
    method: "GET",
    path: "/healthz",
    group: "The server",
    summary: "Is the process alive, and its engine not stopped for good",
    answers: { 200: { means: "Yes.", schema: messages.HealthAnswer } },
    errors: ["storage_unavailable"],
    open: true,
  },
  readyz: {
    method: "GET",
    path: "/readyz",
    group: "The server",
    summary: "Can it serve: engine reachable, warm, not draining",
    answers: { 200: { means: "Yes.", schema: messages.HealthAnswer } },
    errors: ["storage_unavailable", "shutting_down"],
    open: true,
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    group: "The server",
    summary: "Metrics for Prometheus",
    answers: { 200: { means: "Prometheus text.", contentType: "text/plain" } },
    errors: ["shutting_down"],
  },
  openapi: {
    method: "GET",
    path: "/openapi.json",
    group: "The server",
    summary: "This description",
    answers: { 200: { means: "OpenAPI 3.1." } },
    errors: ["shutting_down"],
  },
  docs: {
    method: "GET",
    path: "/docs",
    group: "The server",
    summary: "A page to try every route",
    answers: { 200: { means: "The page.", contentType: "text/html" } },
    errors: ["shutting_down"],
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteName = keyof typeof ROUTES;
export const ROUTE_NAMES = Object.keys(ROUTES) as readonly RouteName[];

type Part<N extends RouteName, P extends "params" | "query" | "body"> = (typeof ROUTES)[N] extends {
  readonly [K in P]: infer S extends SchemaName;
}
  ? Checked<S>
  : undefined;
export type ParamsOf<N extends RouteName> = Part<N, "params">;
export type QueryOf<N extends RouteName> = Part<N, "query">;
export type BodyOf<N extends RouteName> = Part<N, "body">;

/** All errors that a route can answer. Those of the server itself take no input and ask no engine. */
export function errorsOf(route: Route): readonly ErrorCode[] {
  const guards: ErrorCode[] = route.open ? [] : ["unauthorized", "forbidden"];
  if (route.group === "The server") return [...guards, ...route.errors];
  const input: ErrorCode[] = route.body ? ["invalid_request", "payload_too_large"] : ["invalid_request"];
  return [
    ...new Set([...input, ...guards, ...route.errors, "storage_unavailable", "shutting_down"] as const),
  ];
}
