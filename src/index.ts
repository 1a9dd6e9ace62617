/** The one public entry of the package: the client, the worker, task definitions and their errors. */
export {
  type ConnectOptions,
  connect,
  type EmbeddedConnectOptions,
  type HttpConnectOptions,
  type RedisConnectOptions,
  type RedisUrl,
} from "./connect.ts";
export type {
  ClaimOptions,
  Dibs,
  EnqueueOutcome,
  HeartbeatOutcome,
  SettledOutcome,
  SettleOutcome,
} from "./sdk/client.ts";
export {
  type DefinitionOptions,
  defineTask,
  type SchemaDefinitionOptions,
  type TaskDefaults,
  type TaskDefinition,
} from "./sdk/definition.ts";
export type { EnqueueOptions } from "./sdk/enqueue-item.ts";
export {
  type AbortCode,
  AttemptAborted,
  InvalidPayload,
  Refuse,
  RetryLater,
  TaskCancelled,
  TaskDead,
} from "./sdk/errors.ts";
export type { QueueHandle, QueuePatch, QueueView, TasksOptions } from "./sdk/queue-handle.ts";
export type { WaitOptions } from "./sdk/result-waiter.ts";
export type { Handler, TaskContext, TaskHandler } from "./sdk/task-handler.ts";
export type { ClaimedTaskView, EnqueuedTask, TaskView } from "./sdk/task-view.ts";
export type { Worker } from "./sdk/worker.ts";
export type {
  BlockedEvent,
  CompletedEvent,
  FailedEvent,
  LeaseLostEvent,
  ReconnectedEvent,
  WorkerEvents,
} from "./sdk/worker-events.ts";
export type { WorkerOptions } from "./sdk/worker-options.ts";
export type { BackoffPolicy } from "./task/backoff.ts";
export {
  ConnectionLostError,
  DibsError,
  type ErrorCode,
  ForbiddenError,
  IdempotencyConflictError,
  InternalError,
  InvalidRequestError,
  LeaseLostError,
  NotFoundError,
  PayloadTooLargeError,
  QueueFullError,
  QueueNotFoundError,
  RateLimitedError,
  ShuttingDownError,
  StorageUnavailableError,
  TaskNotFoundError,
  TimeoutError,
  UnauthorizedError,
  WrongStateError,
} from "./task/errors.ts";
export type { TaskState } from "./task/task.ts";
