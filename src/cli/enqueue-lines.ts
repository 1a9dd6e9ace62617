import type { EnqueueItemAnswer } from "../protocol/messages.ts";
import type { Connection, EnqueueItem } from "../sdk/connection.ts";
import { DibsError } from "../task/errors.ts";
import { LIMITS } from "../task/limits.ts";
import { CommandFailed, EXIT, type ExitCode, reportOf } from "./exit.ts";
import { count } from "./format.ts";
import { linesOf } from "./lines.ts";
import type { Output } from "./output.ts";
import type { Session } from "./session.ts";

/**
 * `dibs enqueue <queue> -`: a task for each line of stdin. One batch is on its way at a time and the next lines
 * are read only after it, so order is kept, memory is bounded, and a slow server slows the producer down.
 */
const LINE_BYTES_MAX = LIMITS.bodyBytesMax - 1_024;
/** Half of what a request may carry: large payloads travel in several requests, none of them slow. */
const BATCH_BYTES = LIMITS.bodyBytesMax / 2;
/** More faults than this are only counted on a terminal; with `--json` each has its line. */
const FAULTS_SHOWN = 20;

/** What is wrong with a line, and not with the server. */
const SPOILED: ReadonlySet<string> = new Set(["invalid_request", "payload_too_large"]);

export type ItemOf = (line: string) => EnqueueItem;

interface Entry {
  readonly line: number;
  readonly item: EnqueueItem;
}

export async function enqueueLines(session: Session, itemOf: ItemOf): Promise<ExitCode> {
  const { output, signal } = session;
  const totals = new Totals(output);
  const connection = await session.connection();
  const onAbort = () => process.stdin.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const batch of batchesOf(process.stdin, itemOf, totals)) {
      await send(connection, batch, totals);
      if (signal.aborted) break;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    totals.show(signal.aborted);
  }
  if (signal.aborted) return EXIT.interrupted;
  return totals.failed === 0 ? EXIT.done : EXIT.failed;
}

async function* batchesOf(
  chunks: AsyncIterable<Buffer>,
  itemOf: ItemOf,
  totals: Totals,
): AsyncGenerator<Entry[]> {
  let batch: Entry[] = [];
  let bytes = 0;
  for await (const line of linesOf(untilDestroyed(chunks), LINE_BYTES_MAX)) {
    const entry = entryOf(line, itemOf, totals);
    if (entry === undefined) continue;
    const size = Buffer.byteLength(entry.item.payloadJson ?? "");
    if (batch.length === LIMITS.batchMax || (batch.length > 0 && bytes + size > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

function entryOf(
  line: { readonly number: number; readonly text?: string; readonly fault?: string },
  itemOf: ItemOf,
  totals: Totals,
): Entry | undefined {
  try {
    if (line.text === undefined) throw new CommandFailed(line.fault);
    if (line.text.trim() === "") return undefined;
    return { line: line.number, item: itemOf(line.text) };
  } catch (error) {
    totals.fault(line.number, reportOf(error).error);
    return undefined;
  }
}

/** Sends a batch. One line can spoil it as a whole: then its halves are sent, down to that line. */
async function send(connection: Connection, batch: readonly Entry[], totals: Totals): Promise<void> {
  let answers: EnqueueItemAnswer[];
  try {
    answers = await connection.enqueueMany(batch.map((entry) => entry.item));
  } catch (error) {
    if (!(error instanceof DibsError)) throw error;
    if (!SPOILED.has(error.code)) throw totals.lost(batch, error);
    if (batch.length === 1) {
      totals.fault((batch[0] as Entry).line, error);
      return;
    }
    const middle = Math.ceil(batch.length / 2);
    await send(connection, batch.slice(0, middle), totals);
    await send(connection, batch.slice(middle), totals);
    return;
  }
  for (const [at, answer] of answers.entries()) totals.answer((batch[at] as Entry).line, answer);
}

/** A request that went out and was not answered may have been carried out. */
function fateOf({ code, cause }: DibsError): string {
  const neverSent = (cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";
  return code === "connection_lost" && !neverSent ? ". Some of them may have been enqueued." : "";
}

/** Ends quietly when Ctrl-C destroys the stream in the middle of a read. */
async function* untilDestroyed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}

class Totals {
  readonly #output: Output;
  readonly #startedAt = performance.now();
  enqueued = 0;
  deduplicated = 0;
  failed = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  answer(line: number, answer: EnqueueItemAnswer): void {
    if ("error" in answer) {
      this.fault(line, answer.error);
      return;
    }
    if (answer.deduplicated) this.deduplicated += 1;
    else this.enqueued += 1;
    const { id, state } = answer.task;
    this.#output.emit({ line, id, state, ...(answer.deduplicated && { deduplicated: true }) });
    this.#progress();
  }

  fault(line: number, error: { readonly code: string; readonly message: string }): void {
    this.failed += 1;
    this.#output.emit({ line, error });
    if (this.failed <= FAULTS_SHOWN)
      this.#output.note(`dibs: line ${line}: ${error.message} (${error.code})`);
    else if (this.failed === FAULTS_SHOWN + 1)
      this.#output.note("dibs: more lines failed; --json shows each");
  }

  /** A batch that failed as a whole: nothing after it is sent. */
  lost(batch: readonly Entry[], error: DibsError): DibsError {
    this.failed += batch.length;
    error.message = `Lines ${batch[0]?.line} to ${batch.at(-1)?.line}: ${error.message}${fateOf(error)}`;
    return error;
  }

  show(interrupted: boolean): void {
    this.#output.endProgress();
    const { enqueued, deduplicated, failed } = this;
    this.#output.emit({ totals: { enqueued, deduplicated, failed, interrupted } });
    const known = deduplicated === 0 ? "" : `, ${count(deduplicated)} known by their key`;
    const rest = failed === 0 ? "" : `, ${count(failed)} failed`;
    this.#output.print(`${count(enqueued)} enqueued${known}${rest}${interrupted ? ", interrupted" : ""}`);
  }

  #progress(): void {
    const done = this.enqueued + this.deduplicated;
    if (done % 500 !== 0) return;
    const perSecond = done / ((performance.now() - this.#startedAt) / 1_000);
    this.#output.progress(`${count(done)} enqueued, ${count(Math.round(perSecond))} a second`);
  }
}
