import type { Clock } from "../clock.ts";
import type {
  ClaimAsk,
  ClaimReply,
  DueQueue,
  EnqueueOutcome,
  ForceReleaseOutcome,
  Heartbeat,
  HeartbeatOutcome,
  ListPage,
  ListRequest,
  MoveOutcome,
  PromoteReply,
  PruneReply,
  QueueChange,
  ReapReply,
  RequeueDeadReply,
  Settlement,
  SettleReply,
  Storage,
  StorageEvent,
  Trouble,
} from "../storage/storage.ts";
import type { ExportPage, ExportRequest, ImportBatch, ImportReply } from "../storage/stored-task.ts";
import type { QueueName, TaskId } from "../task/ids.ts";
import type { QueueSnapshot } from "../task/queue.ts";
import type { NewTask, Task, TaskState } from "../task/task.ts";
import type { TaskCache } from "./task-cache.ts";

type WithId = { readonly id: TaskId };

/*
 * Where the ids of what was written are not known, a task may be kept in another state than the one it was written in:
 * an answer may overtake those of writes before it, which have moved the task on and have not been heard of. A promotion
 * can only follow such writes of tasks that live; what an operator or retention does may follow any.
 */
const LIVE: readonly TaskState[] = ["scheduled", "ready", "leased"];
const ALL: readonly TaskState[] = [...LIVE, "completed", "dead", "cancelled"];

/**
 * A store whose writes are told to the cache, before anybody hears their answer. Written out verb by verb, so that a
 * new verb of the port does not compile until somebody has said what it changes.
 */
export class CachedStorage implements Storage {
  readonly #storage: Storage;
  readonly #cache: TaskCache;

  constructor(storage: Storage, cache: TaskCache) {
    this.#storage = storage;
    this.#cache = cache;
  }

  get clock(): Clock {
    return this.#storage.clock;
  }

  get callsInFlight(): number {
    return this.#storage.callsInFlight;
  }

  /** A new task changes none that was there; a task found by its key may be seen here younger than it is kept. */
  enqueue(queue: QueueName, tasks: readonly NewTask[]): Promise<EnqueueOutcome[]> {
    return this.#after(this.#storage.enqueue(queue, tasks), tasks, (outcomes) => {
      for (const outcome of outcomes) {
        if (outcome.kind === "deduplicated") this.#cache.forget(outcome.task.id);
        else if (outcome.kind === "pruned") this.#cache.forget(outcome.id);
      }
    });
  }

  claim(queue: QueueName, asks: readonly ClaimAsk[]): Promise<ClaimReply> {
    return this.#after(this.#storage.claim(queue, asks), [], (reply) => this.#claimed(reply));
  }

  settle(
    queue: QueueName,
    settlements: readonly Settlement[],
    asks?: readonly ClaimAsk[],
  ): Promise<SettleReply> {
    return this.#after(this.#storage.settle(queue, settlements, asks), settlements, ({ claim }) =>
      this.#claimed(claim),
    );
  }

  heartbeat(queue: QueueName, beats: readonly Heartbeat[]): Promise<HeartbeatOutcome[]> {
    return this.#after(this.#storage.heartbeat(queue, beats), beats);
  }

  promoteDue(queue: QueueName, limit: number): Promise<PromoteReply> {
    return this.#after(this.#storage.promoteDue(queue, limit), [], ({ latenessMs }) =>
      this.#some(queue, LIVE, latenessMs.length),
    );
  }

  reapExpired(queue: QueueName, limit: number): Promise<ReapReply> {
    return this.#after(this.#storage.reapExpired(queue, limit), [], ({ reaped }) => this.#wrote(reaped));
  }

  prune(queue: QueueName, limit: number): Promise<PruneReply> {
    return this.#after(this.#storage.prune(queue, limit), [], ({ pruned }) => this.#some(queue, ALL, pruned));
  }

  purge(queue: QueueName, state: Exclude<TaskState, "leased">, limit: number): Promise<PruneReply> {
    return this.#after(this.#storage.purge(queue, state, limit), [], ({ pruned }) =>
      this.#some(queue, ALL, pruned),
    );
  }

  cancel(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    return this.#afterIds(this.#storage.cancel(queue, ids), ids);
  }

  requeue(queue: QueueName, ids: readonly TaskId[]): Promise<MoveOutcome[]> {
    return this.#afterIds(this.#storage.requeue(queue, ids), ids);
  }

  requeueDead(queue: QueueName, limit: number): Promise<RequeueDeadReply> {
    return this.#after(this.#storage.requeueDead(queue, limit), [], ({ requeued }) =>
      this.#some(queue, ALL, requeued),
    );
  }

  forceRelease(queue: QueueName, ids: readonly TaskId[]): Promise<ForceReleaseOutcome[]> {
    return this.#afterIds(this.#storage.forceRelease(queue, ids), ids);
  }

  get(queue: QueueName, ids: readonly TaskId[]): Promise<(Task | undefined)[]> {
    return this.#storage.get(queue, ids);
  }

  list(queue: QueueName, request: ListRequest): Promise<ListPage> {
    return this.#storage.list(queue, request);
  }

  snapshot(queue: QueueName): Promise<QueueSnapshot | undefined> {
    return this.#storage.snapshot(queue);
  }

  queues(): Promise<QueueName[]> {
    return this.#storage.queues();
  }

  configure(queue: QueueName, change: QueueChange): Promise<QueueSnapshot> {
    return this.#storage.configure(queue, change);
  }

  exportTasks(queue: QueueName, request: ExportRequest): Promise<ExportPage> {
    return this.#storage.exportTasks(queue, request);
  }

  /** Leaves every task that is there as it is. */
  importTasks(queue: QueueName, batch: ImportBatch): Promise<ImportReply> {
    return this.#storage.importTasks(queue, batch);
  }

  nextDueAt(limit: number): Promise<DueQueue[]> {
    return this.#storage.nextDueAt(limit);
  }

  /** Hears of ends that another process brought, too, when somebody here waits for them. */
  subscribe(listener: (event: StorageEvent) => void): () => void {
    return this.#storage.subscribe((event) => {
      if (event.kind === "finished") this.#cache.forget(event.id);
      listener(event);
    });
  }

  setWaiting(queue: QueueName, waiting: boolean): void {
    this.#storage.setWaiting(queue, waiting);
  }

  awaitEnd(id: TaskId): Promise<void> {
    return this.#storage.awaitEnd(id);
  }

  trouble(): Trouble | undefined {
    return this.#storage.trouble();
  }

  close(): Promise<void> {
    return this.#storage.close();
  }

  #claimed({ grants }: ClaimReply): void {
    for (const tasks of grants) this.#wrote(tasks);
  }

  #wrote(tasks: readonly WithId[]): void {
    if (tasks.length > 0) this.#cache.wrote(tasks.map(({ id }) => id));
  }

  #some(queue: QueueName, states: readonly TaskState[], count: number): void {
    if (count > 0) this.#cache.wroteSome(queue, states, count);
  }

  #after<Reply>(
    call: Promise<Reply>,
    written: readonly WithId[],
    alsoWritten: (reply: Reply) => void = () => {},
  ): Promise<Reply> {
    return call.then(
      (reply) => {
        this.#wrote(written);
        alsoWritten(reply);
        return reply;
      },
      (error: unknown) => {
        // It may have been done all the same.
        this.#wrote(written);
        throw error;
      },
    );
  }

  #afterIds<Reply>(call: Promise<Reply>, ids: readonly TaskId[]): Promise<Reply> {
    return this.#after(
      call,
      ids.map((id) => ({ id })),
    );
  }
}
