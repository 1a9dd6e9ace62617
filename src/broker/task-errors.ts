import {
  type DibsError,
  LeaseLostError,
  QueueNotFoundError,
  TaskNotFoundError,
  WrongStateError,
} from "../task/errors.ts";
import type { QueueName, TaskId } from "../task/ids.ts";
import type { TaskState } from "../task/task.ts";

/** The errors that a task or a queue can meet, worded once. */
export function leaseLost(id: TaskId, state: TaskState): DibsError {
  const now =
    state === "leased" ? "the lease ended, or another claim holds the task" : `the task is ${state}`;
  return new LeaseLostError(`The lease on task ${id} is not held with this token: ${now}`, {
    details: { id, state },
  });
}

export function taskNotFound(id: TaskId): DibsError {
  return new TaskNotFoundError(`There is no task ${id}; it was never accepted, or retention removed it`, {
    details: { id },
  });
}

export function wrongState(id: TaskId, verb: string, state: TaskState): DibsError {
  return new WrongStateError(`Task ${id} is ${state}; ${verb} does not apply to it`, {
    details: { id, state },
  });
}

export function queueNotFound(queue: QueueName): DibsError {
  return new QueueNotFoundError(`There is no queue ${queue}; it exists from its first task or PATCH on`, {
    details: { queue },
  });
}
