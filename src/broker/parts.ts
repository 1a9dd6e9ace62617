import type { Storage } from "../storage/storage.ts";
import { type QueueName, queueOf, type TaskId } from "../task/ids.ts";
import type { EpochMs, Task } from "../task/task.ts";
import { Calls } from "./calls.ts";
import { Claims } from "./claims.ts";
import { DueTimer } from "./due-timer.ts";
import { Enqueues } from "./enqueues.ts";
import { Heartbeats } from "./heartbeats.ts";
import { Lines } from "./lines.ts";
import type { Logger } from "./logger.ts";
import { Meters } from "./meters.ts";
import { type BrokerMetrics, brokerMetrics } from "./metrics.ts";
import { Moves } from "./moves.ts";
import type { Peers } from "./peers.ts";
import { Promoter } from "./promoter.ts";
import { Pruner } from "./pruner.ts";
import { QueueSnapshots } from "./queue-snapshots.ts";
import { Queues } from "./queues.ts";
import { Reaper } from "./reaper.ts";
import { Results } from "./results.ts";
import { RuntimeMetrics } from "./runtime-metrics.ts";
import { Settlements } from "./settlements.ts";
import { TaskCache, type TaskCacheOptions } from "./task-cache.ts";
import { CachedStorage } from "./task-cache-storage.ts";
import { Turn } from "./turn.ts";
import { Undelivered } from "./undelivered.ts";

export interface PartsOptions {
  readonly payloadBytesMax: number;
  readonly random: () => number;
  readonly logger: Logger;
  readonly callsInFlight: number;
  readonly cache: TaskCacheOptions;
  readonly peers: Peers;
}

/** The parts of a broker, put together. */
export interface Parts {
  readonly calls: Calls;
  readonly enqueues: Enqueues;
  readonly claims: Claims;
  readonly settlements: Settlements;
  readonly heartbeats: Heartbeats;
  readonly undelivered: Undelivered;
  readonly results: Results;
  readonly moves: Moves;
  readonly queues: Queues;
  readonly dueTimer: DueTimer;
  readonly pruner: Pruner;
  readonly metrics: BrokerMetrics;
  /** Starts to listen to the storage, and the loops. */
  start(): void;
  /** Ends what `start` began; resolves when no loop runs any more. */
  stop(): Promise<void>;
}

export function assembled(engine: Storage, options: PartsOptions): Parts {
  const { payloadBytesMax, random, logger, callsInFlight, peers } = options;
  const meters = new Meters();
  const calls = new Calls(meters);
  const cache = new TaskCache((id) => calls.run("get", () => fetched(engine, id)), options.cache);
  const storage = options.cache.mode === "off" ? engine : new CachedStorage(engine, cache);
  const runtime = new RuntimeMetrics();
  const snapshots = new QueueSnapshots(storage, calls);

  const pruner = new Pruner({ storage, calls, logger });
  const noteFinished = (queue: QueueName, count: number) => pruner.noteFinished(queue, count);
  const promoter = new Promoter(storage, calls, meters);
  const reaper = new Reaper({ storage, calls, meters, noteFinished });
  const dueTimer = new DueTimer({ storage, calls, promoter, reaper, logger });
  const expectDue = (queue: QueueName, at: EpochMs) => dueTimer.expect(queue, at);

  const turn = new Turn();
  const lines = new Lines({ storage, calls, turn, meters, callsInFlight, expectDue, noteFinished });
  const undelivered = new Undelivered(lines, logger);
  const claims = new Claims({ storage, lines, meters, undelivered });
  const results = new Results({ storage, calls, cache, logger });
  const queues = new Queues({
    storage,
    calls,
    lines,
    snapshots,
    peers,
    hurryPrune: (queue) => pruner.hurry(queue),
    onPurged: (queue) => results.recheck(queue),
  });
  const waitingClaims = () => claims.parked;

  let unsubscribe = (): void => {};
  return {
    calls,
    enqueues: new Enqueues(lines, payloadBytesMax),
    claims,
    settlements: new Settlements({ lines, claims, payloadBytesMax, random }),
    heartbeats: new Heartbeats(lines),
    undelivered,
    results,
    moves: new Moves({ storage, calls, noteFinished }),
    queues,
    dueTimer,
    pruner,
    metrics: brokerMetrics({ meters, runtime, snapshots, storage, cache, waitingClaims, peers }),
    start() {
      // Wake-ups of other processes on the same store arrive here too: an engine that shares a store between
      // processes turns them into the same events.
      unsubscribe = storage.subscribe((event) => {
        if (event.kind === "finished") results.heard(event);
        else if (event.kind === "due") dueTimer.expect(event.queue, event.at);
        else lines.existing(event.queue)?.waiting.tell();
      });
      runtime.start();
      dueTimer.start();
      results.start();
      pruner.start();
    },
    async stop() {
      unsubscribe();
      runtime.stop();
      await Promise.all([dueTimer.stop(), results.stop(), pruner.stop()]);
    },
  };
}

async function fetched(storage: Storage, id: TaskId): Promise<Task | undefined> {
  const [task] = await storage.get(queueOf(id), [id]);
  return task;
}
