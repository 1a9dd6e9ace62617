import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import type { Config } from "../../config.ts";
import type { QueueMessage, TaskMessage } from "../../protocol/messages.ts";
import type { Connection } from "../../sdk/connection.ts";
import { HttpConnection } from "../../sdk/http-connection.ts";
import { type DibsError, errorFromCode } from "../../task/errors.ts";
import { isFinished, TASK_STATES } from "../../task/task.ts";
import { CommandFailed } from "../exit.ts";
import { count, milliseconds } from "../format.ts";
import { type RunningServer, startServer } from "../serve.ts";
import type { Session } from "../session.ts";
import { tasksOf } from "../tasks.ts";
import { type Audit, audit } from "./audit.ts";
import { counter } from "./counters.ts";
import { Outages } from "./outages.ts";
import { acceptable, ownPass } from "./own-pass.ts";
import { mayPass, patiently } from "./patience.ts";
import { showAudit } from "./report.ts";
import { DemoWorker, LEASE_MS } from "./workers.ts";

/** A run of the demo from the first look at the files to the audit. */
const WORKERS = 3;
const LOOK_EVERY_MS = 200;
/** Until the kill: a few hundred files are worked through in less than the above, and half-way would be missed. */
const LOOK_FOR_HALF_MS = 10;
/** No task finished for so long: something hangs. */
const STALLED_AFTER_MS = 60_000;
/** Within this a worker that stands still has what it claimed, and the server what it settled. */
const FREEZE_MS = 50;

export interface Killed {
  readonly worker: string;
  readonly pid: number;
  /** Tasks that were completed at that moment. */
  readonly atCompleted: number;
  /** Tasks that it held. */
  readonly held: number;
}

export interface Run {
  readonly queue: QueueMessage;
  readonly killed: Killed | undefined;
  readonly tookMs: number;
}

export async function runDemo(session: Session, config: Config, files: readonly string[]): Promise<Audit> {
  const { output, signal } = session;
  const seen = await ownPass(files, signal, (done) => output.progress(`looked at ${count(done)} files`));
  const server = await startServer(config, { logger: pino({ level: config.logLevel }, pino.destination(2)) });
  const connection = new HttpConnection(new URL(server.url));
  const queue = `demo-${randomBytes(4).toString("hex")}`;
  output.note(`serving on ${server.url} (${server.store.text}), queue ${queue}`);
  const outages = new Outages(Date.now());
  const look = async () => outages.look(await storageErrors(server), Date.now());
  const workers: DemoWorker[] = [];
  try {
    const enqueued = await enqueueAll(session, connection, queue, files);
    await look();
    for (let at = 1; at <= WORKERS; at += 1) workers.push(new DemoWorker(server.url, queue, `demo-${at}`));
    const run = await watch(session, { connection, queue, workers, total: files.length, look });
    await Promise.all(workers.map((worker) => worker.stop()));
    await look();
    const result = audit({
      files: await acceptable(seen),
      enqueued,
      tasks: await patiently(() => allTasks(connection, queue), signal),
      queue: await patiently(() => connection.queue(queue), signal),
      reported: workers.flatMap(({ label, completed }) => completed.map((id) => ({ id, worker: label }))),
      counted: await counted(server.url, queue),
      killed: run.killed?.worker,
      outages: outages.all,
    });
    showAudit(output, result, run, seen.values());
    return result;
  } finally {
    output.endProgress();
    await Promise.all(workers.map((worker) => worker.kill()));
    await connection.close();
    await server.close();
  }
}

/** The queue is paused until all workers are ready, so that all of them take part. */
async function enqueueAll(
  { output, signal }: Session,
  connection: Connection,
  queue: string,
  files: readonly string[],
): Promise<{ path: string; id: string }[]> {
  const retention = {
    completedMs: 24 * 60 * 60 * 1_000,
    completedMax: files.length,
    bytesMax: Number.MAX_SAFE_INTEGER,
  };
  await patiently(() => connection.configure(queue, { retention }), signal);
  await patiently(() => connection.pause(queue), signal);
  const ids = new Map<string, string>();
  await patiently(() => enqueueRest(connection, queue, files, ids), signal);
  output.note(`${count(files.length)} tasks enqueued`);
  return files.map((path) => ({ path, id: ids.get(path) as string }));
}

/**
 * Enqueues the files that have no id yet. Each has an idempotency key: one whose answer was lost on the way is
 * found by it, and makes no second task.
 */
async function enqueueRest(
  connection: Connection,
  queue: string,
  files: readonly string[],
  ids: Map<string, string>,
): Promise<void> {
  const rest = files.flatMap((path, at) => (ids.has(path) ? [] : [{ path, idempotencyKey: `file-${at}` }]));
  const answers = await connection.enqueueMany(
    rest.map(({ path, idempotencyKey }) => ({
      queue,
      idempotencyKey,
      payloadJson: JSON.stringify({ path }),
    })),
  );
  let failed: DibsError | undefined;
  answers.forEach((answer, at) => {
    if ("error" in answer) failed ??= errorFromCode(answer.error.code, answer.error.message);
    else ids.set(rest[at]?.path as string, answer.task.id);
  });
  if (failed !== undefined) throw failed;
}

interface Watched {
  readonly connection: Connection;
  readonly queue: string;
  readonly workers: readonly DemoWorker[];
  readonly total: number;
  /** Notes whether the store has been away. */
  look(): Promise<void>;
}

async function watch({ output, signal }: Session, watched: Watched): Promise<Run> {
  const { connection, queue, workers, total, look } = watched;
  await Promise.all(workers.map((worker) => worker.ready));
  output.note(`${workers.length} workers are ready: ${workers.map((worker) => worker.label).join(", ")}`);
  await patiently(() => connection.resume(queue), signal);
  const startedAt = performance.now();
  let killed: Killed | undefined;
  let lastDone = 0;
  let lastMovedAt = startedAt;
  for (;;) {
    signal.throwIfAborted();
    const view = await patiently(() => connection.queue(queue), signal);
    await look();
    const now = performance.now();
    const done = finished(view);
    if (done > lastDone) lastMovedAt = now;
    lastDone = done;
    output.progress(progressLine(view, done, total, now - startedAt));
    if (done >= total) return { queue: view, killed, tookMs: now - startedAt };
    if (now - lastMovedAt > STALLED_AFTER_MS)
      throw new CommandFailed(`Nothing moved for a minute, ${done} of ${total} done`);
    failWhenOneEnded(workers);
    if (killed === undefined && done >= total / 2) {
      killed = await killOne(connection, queue, workers, done);
      if (killed !== undefined) output.note(killedLine(killed));
    } else {
      await sleep(killed === undefined ? LOOK_FOR_HALF_MS : LOOK_EVERY_MS, undefined, { signal });
    }
  }
}

/**
 * Kills the first worker that holds tasks. It is frozen first, so that it still holds them when it dies; one that
 * holds nothing goes on. Nothing restarts it: the others finish its tasks, which is what the demo shows.
 */
async function killOne(
  connection: Connection,
  queue: string,
  workers: readonly DemoWorker[],
  atCompleted: number,
): Promise<Killed | undefined> {
  for (const worker of workers) {
    worker.freeze();
    await sleep(FREEZE_MS);
    const held = await heldBy(worker, connection, queue);
    if (held > 0) {
      await worker.kill();
      return { worker: worker.label, pid: worker.pid, atCompleted, held };
    }
    worker.thaw();
  }
  return undefined;
}

/** How many tasks a worker holds; none as far as one can see while the store is away. */
async function heldBy(worker: DemoWorker, connection: Connection, queue: string): Promise<number> {
  try {
    const { tasks } = await connection.list(queue, { state: "leased" });
    return tasks.filter((task) => task.lease?.worker === worker.label).length;
  } catch (error) {
    if (mayPass(error)) return 0;
    throw error;
  }
}

async function storageErrors({ figures }: RunningServer): Promise<number> {
  const families = await figures.metrics();
  const errors = families.find(({ name }) => name === "dibs_storage_errors_total");
  return errors?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
}

function failWhenOneEnded(workers: readonly DemoWorker[]): void {
  const ended = workers.find((worker) => worker.hasFailed);
  if (ended !== undefined) throw new CommandFailed(`Worker ${ended.label} ended by itself`);
}

function finished(view: QueueMessage): number {
  return TASK_STATES.filter(isFinished).reduce((sum, state) => sum + view.counts[state], 0);
}

function progressLine(view: QueueMessage, done: number, total: number, elapsedMs: number): string {
  const perSecond = Math.round(done / (elapsedMs / 1_000));
  const claim = view.latency?.claim;
  const latency =
    claim === undefined
      ? ""
      : `  claim P50 ${milliseconds(claim.p50)} P99 ${milliseconds(claim.p99)} P99.9 ${milliseconds(claim.p999)}`;
  return `${count(done)}/${count(total)}  ${count(perSecond)}/s${latency}`;
}

function killedLine({ worker, pid, atCompleted, held }: Killed): string {
  return (
    `killed ${worker} (kill -9 ${pid}) at ${count(atCompleted)} completed; it held ${held} tasks, ` +
    `which come back when their leases of ${LEASE_MS / 1_000} s end`
  );
}

async function allTasks(connection: Connection, queue: string): Promise<TaskMessage[]> {
  const tasks: TaskMessage[] = [];
  for await (const task of tasksOf(connection, queue, TASK_STATES, Number.POSITIVE_INFINITY))
    tasks.push(task);
  return tasks;
}

async function counted(url: string, queue: string) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return {
    claimed: counter(text, "dibs_tasks_claimed_total", { queue }),
    completed: counter(text, "dibs_tasks_completed_total", { queue }),
    expired: counter(text, "dibs_leases_expired_total", { queue }),
  };
}
