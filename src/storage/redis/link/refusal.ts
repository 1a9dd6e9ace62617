import { type DibsError, InternalError, StorageUnavailableError } from "../../../task/errors.ts";
import type { ReplyError } from "./reply-parser.ts";

/** What Redis refuses before it does anything, and what that means for us. */
const UNAVAILABLE: Readonly<Record<string, string>> = {
  OOM: "Redis is at maxmemory and takes no more: give it more memory, or let retention keep less",
  BUSY: "Redis is busy with a script that runs too long, perhaps somebody else's",
  LOADING: "Redis is still reading its data from disk",
  READONLY: "this Redis is now a read-only replica: its master is elsewhere",
  MASTERDOWN: "this Redis is a replica that has lost its master",
  CLUSTERDOWN: "the cluster is down: some of its slots have no master",
  TRYAGAIN: "the cluster is moving the slot of this queue",
  NOREPLICAS: "Redis has fewer replicas than min-replicas-to-write asks for",
  MISCONF: "Redis cannot save its data to disk, and takes no writes until it can",
  NOAUTH: "Redis does not know us any more: its users were changed",
  NOPERM:
    "the Redis user may not do this: it needs the keys and channels of the prefix and +@all -@dangerous +info +config|get",
  UNBLOCKED: "Redis changed its role in the middle",
};

/** The error for the caller of a command, named `what`, that Redis answered with an error. */
export function refusal(error: ReplyError, what: string): DibsError {
  const meaning = UNAVAILABLE[error.code];
  if (meaning !== undefined)
    return new StorageUnavailableError(`${meaning} (${error.message})`, {
      cause: error,
      details: { applied: "no" },
    });
  if (/Script killed by user/.test(error.message))
    return new StorageUnavailableError(`The script ${what} was killed in Redis before it wrote anything`, {
      cause: error,
      details: { applied: "no" },
    });
  return new InternalError(`Redis refused ${what}: ${error.message}`, { cause: error });
}
