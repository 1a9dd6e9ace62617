import { setTimeout as wait } from "node:timers/promises";
import { nowNs } from "../nano-clock.ts";
import { type PacingResult, paceRequests, SPINNING_CLOCK } from "../pacing.ts";
import type { RawAnswer } from "../raw-http.ts";
import type { Call, Calls } from "./calls.ts";
import { type Ending, type EventLog, fromShared, toShared } from "./event-log.ts";
import { numberIn, type TaskOnTheWire } from "./wire.ts";
import { CallTimedOut, type WorkerConnection } from "./worker-connection.ts";

/** One process's share of an open loop. */
export interface PacedLoad {
  readonly traffic: "calls" | "drain" | "arrivals";
  /** Calls a second. */
  readonly perSecond: number;
  readonly seconds: number;
  /** When its first call is meant to leave, by the clock of all processes. */
  readonly startAt: number;
  /** False for a warm-up: nobody hears of its calls. */
  readonly isNoted: boolean;
}

/** How a share of an open loop went; the calls themselves are told as they end. */
export interface PacedPart {
  readonly seconds: number;
  readonly sent: number;
  readonly unsent: number;
  readonly heldBack: number;
  readonly heldBackIdle: number;
  /** Encoded histogram of how late calls left by the generator's own fault. */
  readonly lag: string;
  readonly eventLoopUtilization: number;
}

/** After the time is over, calls that are late may still leave for so long. */
const OVERRUN_S_MAX = 10;
const FAILURES_MAX = 5;
/** After a call failed, so that a server that is away is not asked as fast as it refuses. */
const FAILED_PAUSE_MS = 100;

/** Makes calls over connections, at intended times or one after the other, and notes how each of them ended. */
export class LoadMaker {
  readonly #calls: Calls;
  readonly #log: EventLog;
  readonly #workers: readonly WorkerConnection[];
  readonly #producers: readonly WorkerConnection[];
  readonly #isDelayed: boolean;
  readonly #failures = new Set<string>();
  #stop = new AbortController();
  #working: Promise<unknown> = Promise.resolve();

  constructor(
    calls: Calls,
    log: EventLog,
    workers: readonly WorkerConnection[],
    producers: readonly WorkerConnection[],
    isDelayed: boolean,
  ) {
    this.#calls = calls;
    this.#log = log;
    this.#workers = workers;
    this.#producers = producers;
    this.#isDelayed = isDelayed;
  }

  /** The first different messages of failures. */
  get failures(): readonly string[] {
    return [...this.#failures];
  }

  stop(): void {
    this.#stop.abort();
  }

  /** How many calls were answered. */
  async saturate(traffic: "calls" | "drain", seconds: number): Promise<number> {
    const end = nowNs() + seconds * 1e9;
    let answered = 0;
    await Promise.all(
      this.#workers.map(async (connection) => {
        while (nowNs() < end && !this.#stop.signal.aborted) {
          const ending = await this.#perform(connection, this.#next(traffic));
          if (ending === "done") answered += 1;
          else if (ending !== "empty") await wait(FAILED_PAUSE_MS);
        }
      }),
    );
    return answered;
  }

  async pace({ traffic, perSecond, seconds, startAt, isNoted }: PacedLoad): Promise<PacedPart> {
    const free = [...(traffic === "arrivals" ? this.#producers : this.#workers)];
    if (isNoted) this.#log.open();
    await SPINNING_CLOCK.until(fromShared(startAt));
    const before = performance.eventLoopUtilization();
    const paced = await paceRequests({
      perSecond,
      seconds,
      overrunSeconds: isNoted ? Math.min(OVERRUN_S_MAX, seconds) : 0,
      outstandingMax: free.length,
      signal: this.#stop.signal,
      send: async (_, intendedAt) => {
        const connection = free.pop() as WorkerConnection;
        const call = traffic === "arrivals" ? this.#calls.enqueue(toShared(intendedAt)) : this.#next(traffic);
        await this.#perform(connection, call, intendedAt);
        free.push(connection);
      },
    });
    const { utilization } = performance.eventLoopUtilization(before);
    // The workers of arrivals go on until all is done.
    if (isNoted && traffic !== "arrivals") this.#log.close();
    return partOf(paced, utilization);
  }

  async cycle(seconds: number): Promise<void> {
    this.#log.open();
    const end = nowNs() + seconds * 1e9;
    const tasks: TaskOnTheWire[] = [];
    this.#calls.onTask = (task) => tasks.push(task);
    await Promise.all(
      this.#workers.map(async (connection) => {
        while (nowNs() < end && !this.#stop.signal.aborted) {
          const isIn = (await this.#perform(connection, this.#calls.enqueue())) === "done";
          if (!isIn) await wait(FAILED_PAUSE_MS);
          await this.#perform(connection, this.#calls.claim());
          const task = tasks.pop();
          if (task !== undefined) await this.#perform(connection, this.#calls.complete(task));
        }
      }),
    );
    this.#log.close();
  }

  work(waitMs: number): void {
    const request = this.#calls.parkedRequest(waitMs);
    const got: { task: TaskOnTheWire; answer: RawAnswer }[] = [];
    this.#calls.onTask = (task, answer) => got.push({ task, answer });
    const one = async (connection: WorkerConnection) => {
      while (!this.#stop.signal.aborted) {
        const ending = await this.#ask(connection, this.#calls.parkedClaim(request, waitMs));
        const next = ending === "done" ? got.pop() : undefined;
        if (next !== undefined) {
          this.#noteStart(next.answer);
          await this.#perform(connection, this.#calls.complete(next.task));
        } else if (ending !== "empty" && !this.#stop.signal.aborted) await wait(FAILED_PAUSE_MS);
      }
    };
    this.#working = Promise.all(this.#workers.map(one));
  }

  /** Ends the parked claims, and completes what is held. */
  async finish(): Promise<void> {
    this.stop();
    for (const connection of this.#workers) connection.endWaiting();
    await this.#working;
    if (this.#log.isOpen) this.#log.close();
    for (let call = this.#calls.completeHeld(); call !== undefined; call = this.#calls.completeHeld()) {
      await this.#perform(this.#workers[0] as WorkerConnection, call);
    }
  }

  #next(traffic: "calls" | "drain"): Call {
    return traffic === "calls" ? this.#calls.nextOfThree() : this.#calls.nextOfTwo();
  }

  /** Performs a call and notes how long it took, from when it was meant to leave. */
  async #perform(connection: WorkerConnection, call: Call, intendedAt?: number): Promise<Ending> {
    const sentAt = nowNs();
    const ending = await this.#ask(connection, call, (endedAt, how) => {
      this.#log.note(call.timed, how, intendedAt ?? sentAt, sentAt, endedAt);
      if (call.timed === "claim" && how === "done") this.#log.note("service", how, sentAt, sentAt, endedAt);
    });
    return ending;
  }

  async #ask(
    connection: WorkerConnection,
    call: Call,
    note: (endedAt: number, ending: Ending) => void = () => {},
  ): Promise<Ending> {
    let endedAt = 0;
    let ending: Ending;
    try {
      const answer = await connection.ask(call.request, call.waitMs);
      endedAt = nowNs();
      ending = call.onAnswer(answer);
    } catch (error) {
      ending = error instanceof CallTimedOut ? "timed-out" : "failed";
      // An answer that refuses is certain; one that never came is not.
      if (endedAt === 0) call.onDoubt?.();
      if (call.waitMs !== undefined && this.#stop.signal.aborted) return "empty"; // Ended by ourselves.
      if (this.#failures.size < FAILURES_MAX) this.#failures.add((error as Error).message);
      endedAt ||= nowNs();
      if (call.waitMs !== undefined) this.#log.note(call.timed, ending, endedAt, endedAt, endedAt);
    }
    note(endedAt, ending);
    return ending;
  }

  #noteStart(answer: RawAnswer): void {
    const now = nowNs();
    if (this.#isDelayed) {
      const late = (numberIn(answer, "claimedAt") - numberIn(answer, "runAt")) * 1e6;
      this.#log.note("lateness", "done", now - late, now - late, now);
    } else {
      const intendedAt = fromShared(numberIn(answer, "at"));
      this.#log.note("start", "done", intendedAt, intendedAt, now);
    }
  }
}

function partOf(paced: PacingResult, eventLoopUtilization: number): PacedPart {
  const { seconds, sent, unsent, heldBack, heldBackIdle, lag } = paced;
  return { seconds, sent, unsent, heldBack, heldBackIdle, lag: lag.encode(), eventLoopUtilization };
}
