import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import { Claim } from "../../broker/claim.ts";
import { type ClaimMark, claimMarks } from "../../claim-marks.ts";
import { sharedNow } from "./shared-clock.ts";
import { isPicked, newTrace, type Trace } from "./trace.ts";

/** A storage call that carries claims: its moments are those of each of them. */
interface StorageCall {
  readonly traces: readonly Trace[];
  readonly sent: number;
}

interface HttpRequest {
  readonly id: string;
  readonly raw: IncomingMessage;
}

/** How busy the storage was with claims, traced or not. */
export interface StorageLoad {
  readonly calls: number;
  readonly claims: number;
  /** The sum of what each call took, milliseconds. */
  readonly underWayMs: number;
  readonly mostUnderWay: number;
}

/**
 * Hears the marks of this process and keeps the moments of each claim. Its own work, about 0.1 µs a mark, falls into the
 * part that begins with the mark; how much slower claims become by all of it, the profile shows.
 */
export class ClaimTracer {
  readonly #every: number;
  #traces: Trace[] = [];
  /** By the object that the marks name: request, door's call, claim, and in process the caller's body. */
  readonly #byDoor = new Map<object, Trace>();
  readonly #byClaim = new Map<object, Trace>();
  readonly #underWay = new Map<object, StorageCall>();
  readonly #byRedisCall = new Map<object, StorageCall>();
  readonly #unflushed = new Map<object, StorageCall[]>();
  readonly #readAt = new WeakMap<Socket, number>();
  /** Said last, within the same call as what comes next. */
  #checked: Trace | undefined;
  #sending: StorageCall | undefined;
  #load = { calls: 0, claims: 0, underWayMs: 0, mostUnderWay: 0 };
  readonly #onMark = (message: unknown) => this.#hear(message as ClaimMark, sharedNow());

  /** Of requests over HTTP one in `every` is traced. */
  constructor(every = 1) {
    this.#every = every;
  }

  /** Begins to hear. What is under way then is not traced. */
  resume(): void {
    claimMarks.subscribe(this.#onMark);
  }

  pause(): void {
    claimMarks.unsubscribe(this.#onMark);
    for (const map of [this.#byDoor, this.#byClaim, this.#underWay, this.#byRedisCall, this.#unflushed])
      map.clear();
    this.#checked = undefined;
    this.#sending = undefined;
  }

  /**
   * Notes when the bytes of a request were read, for connections that are opened from now on. Node then hands them to
   * its parser through JavaScript, some microseconds slower than without.
   */
  watch(server: Server): void {
    server.on("connection", (socket: Socket) => {
      socket.prependListener("data", () => this.#readAt.set(socket, sharedNow()));
    });
  }

  /** In process: the claim that is asked for with this body is traced. */
  follow(body: object, trace: Trace): void {
    this.#byDoor.set(body, trace);
  }

  /** Those that were told their tasks since the last call; each is kept once. */
  take(): { readonly traces: readonly Trace[]; readonly load: StorageLoad } {
    const taken = { traces: this.#traces, load: this.#load };
    this.#traces = [];
    this.#load = { calls: 0, claims: 0, underWayMs: 0, mostUnderWay: 0 };
    return taken;
  }

  #hear({ moment, subject, of }: ClaimMark, now: number): void {
    switch (moment) {
      case "arrived":
        this.#arrived(subject as HttpRequest, now);
        break;
      case "served":
        this.#served(subject, of as object, now);
        break;
      case "asked":
        this.#asked(subject, now);
        break;
      case "queued":
        this.#queued(subject, now);
        break;
      case "sent":
        this.#sent(subject as readonly object[], now);
        break;
      case "handed":
        this.#handed(subject, of as object, now);
        break;
      case "flushed":
        this.#flushed(subject, now);
        break;
      case "answered":
        this.#answered(subject, now);
        break;
      case "replied":
        this.#replied(subject, now);
        break;
      default:
        this.#atDoor(moment, subject, now);
    }
  }

  #arrived(request: HttpRequest, now: number): void {
    if (!isPicked(request.id, this.#every)) return;
    const trace = newTrace(request.id);
    trace.read = this.#readAt.get(request.raw.socket) ?? Number.NaN;
    trace.arrived = now;
    this.#byDoor.set(request, trace);
  }

  #served(call: object, request: object, now: number): void {
    const trace = this.#byDoor.get(request);
    if (trace === undefined) return;
    trace.served = now;
    this.#byDoor.set(call, trace);
  }

  #atDoor(
    moment: "checking" | "checked" | "resumed" | "told" | "writing" | "written",
    door: object,
    now: number,
  ) {
    const trace = this.#byDoor.get(door);
    if (moment === "checked") this.#checked = trace;
    if (trace === undefined) return;
    trace[moment] = now;
    if (moment === "told") this.#byDoor.delete(door);
    const isLast = moment === (Number.isNaN(trace.arrived) ? "told" : "written");
    if (!isLast) return;
    this.#byDoor.delete(door);
    // A request that was no claim, or found nothing, ends here too.
    if (!Number.isNaN(trace.told)) this.#traces.push(trace);
  }

  #asked(claim: object, now: number): void {
    const trace = this.#checked;
    this.#checked = undefined;
    if (trace === undefined) return;
    trace.asked = now;
    this.#byClaim.set(claim, trace);
  }

  #queued(claim: object, now: number): void {
    const trace = this.#byClaim.get(claim);
    if (trace === undefined) return;
    // It was sent before, to another queue: what came before is the remainder.
    if (!Number.isNaN(trace.queued)) trace.asked = Number.NaN;
    trace.queued = now;
  }

  #sent(calls: readonly object[], now: number): void {
    if (!(calls[0] instanceof Claim)) return;
    const traces: Trace[] = [];
    for (const claim of calls) {
      const trace = this.#byClaim.get(claim);
      if (trace === undefined) continue;
      if (!Number.isNaN(trace.replied) && trace.queued < trace.replied) {
        // It was not served and is sent once more.
        trace.asked = Number.NaN;
        trace.queued = trace.replied;
      }
      trace.sent = now;
      traces.push(trace);
    }
    const call = { traces, sent: now };
    this.#underWay.set(calls, call);
    this.#sending = call;
    this.#load.calls += 1;
    this.#load.claims += calls.length;
    this.#load.mostUnderWay = Math.max(this.#load.mostUnderWay, this.#underWay.size);
  }

  #handed(redisCall: object, connection: object, now: number): void {
    const call = this.#sending;
    this.#sending = undefined;
    if (call === undefined) return;
    for (const trace of call.traces) trace.handed = now;
    this.#byRedisCall.set(redisCall, call);
    const unflushed = this.#unflushed.get(connection);
    if (unflushed === undefined) this.#unflushed.set(connection, [call]);
    else unflushed.push(call);
  }

  #flushed(connection: object, now: number): void {
    const calls = this.#unflushed.get(connection);
    if (calls === undefined) return;
    this.#unflushed.delete(connection);
    for (const { traces } of calls) for (const trace of traces) trace.flushed = now;
  }

  #answered(redisCall: object, now: number): void {
    const call = this.#byRedisCall.get(redisCall);
    if (call === undefined) return;
    this.#byRedisCall.delete(redisCall);
    for (const trace of call.traces) trace.answered = now;
  }

  #replied(calls: object, now: number): void {
    // Of an engine in this process nothing was handed on.
    this.#sending = undefined;
    const call = this.#underWay.get(calls);
    if (call === undefined) return;
    this.#underWay.delete(calls);
    this.#load.underWayMs += now - call.sent;
    for (const trace of call.traces) trace.replied = now;
    for (const claim of calls as readonly object[]) this.#byClaim.delete(claim);
  }
}
