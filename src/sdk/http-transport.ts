import * as http from "node:http";
import * as https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../task/backoff.ts";
import { ConnectionLostError, type DibsError, errorFromCode } from "../task/errors.ts";

/**
 * Requests to one server over connections that stay open.
 *
 * `node:http` and not `fetch`, because a worker makes thousands of small requests a second: on Node 20 one
 * costs 55 to 60 µs of CPU here and 300 to 350 µs with `fetch` (measured at 16 concurrent requests).
 */
export interface HttpCall {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  /** JSON text. */
  readonly body?: string;
  /** How long the server may hold the answer back. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** True when sending it twice does what sending it once does: it is sent again when the network fails. */
  readonly repeatable?: boolean;
}

export interface HttpReply {
  readonly status: number;
  /** Parsed JSON; undefined when the answer has no body. */
  readonly body: unknown;
  readonly requestId?: string;
}

export interface HttpTransportOptions {
  readonly token?: string;
  /** How long an answer may take beyond the call's `waitMs`. Default 10 s. */
  readonly answerMs?: number;
}

const ANSWER_MS = 10_000;
/** An unused connection is closed before something between forgets it without a word. */
const IDLE_MS = 30_000;
/** Tries of a repeatable call, and the waits between them. */
const TRIES = 3;
const AGAIN = { type: "exponential", baseMs: 100, capMs: 1_000, jitter: "equal" } as const;

export class HttpTransport {
  /** Without credentials: it stands in messages. */
  readonly place: string;
  readonly #base: URL;
  readonly #basePath: string;
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #answerMs: number;

  /** `base` is the server's URL; a path in it comes before every route. */
  constructor(base: URL, options: HttpTransportOptions = {}) {
    this.#base = base;
    this.#basePath = base.pathname.replace(/\/+$/, "");
    this.place = `${base.origin}${this.#basePath}`;
    const secure = base.protocol === "https:";
    this.#request = secure ? https.request : http.request;
    this.#agent = new (secure ? https : http).Agent({
      keepAlive: true,
      scheduling: "lifo",
      timeout: IDLE_MS,
    });
    this.#headers = headersOf(options.token);
    this.#answerMs = options.answerMs ?? ANSWER_MS;
  }

  /** @throws {DibsError} of the code that the server answered, or `ConnectionLostError`. */
  async send(call: HttpCall): Promise<HttpReply> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return checked(await this.#once(call));
      } catch (error) {
        const again = call.repeatable === true && attempt < TRIES && error instanceof ConnectionLostError;
        if (!again || call.signal?.aborted) throw error;
      }
      await sleep(backoffMs(attempt, AGAIN, Math.random()));
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #once(call: HttpCall): Promise<RawReply> {
    const { signal } = call;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const request = this.#request(this.#requestOptions(call));
      const allowedMs = (call.waitMs ?? 0) + this.#answerMs;
      const timer = setTimeout(() => give(this.#lost(`no answer within ${allowedMs} ms`)), allowedMs);
      let answering = false;
      const onAbort = () => {
        // An answer that has begun to arrive may carry tasks: it is read to its end.
        if (!answering) give(signal?.reason);
      };
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      const give = (error: unknown) => {
        done();
        reject(error);
        request.destroy();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      request.on("error", (error) => give(this.#lost(reasonOf(error), error)));
      request.on("response", (response) => {
        answering = true;
        read(response).then(
          (reply) => {
            done();
            resolve(reply);
          },
          (error: unknown) => give(this.#lost("the connection broke in the middle of the answer", error)),
        );
      });
      request.end(call.body);
    });
  }

  #requestOptions(call: HttpCall): http.RequestOptions {
    const headers: http.OutgoingHttpHeaders = { ...this.#headers };
    if (call.body !== undefined) {
      headers["content-type"] = "application/json";
      headers["content-length"] = Buffer.byteLength(call.body);
    } else if (call.method !== "GET") {
      headers["content-length"] = 0;
    }
    return {
      hostname: this.#base.hostname.replace(/^\[|\]$/g, ""),
      port: this.#base.port,
      path: this.#basePath + call.path,
      method: call.method,
      agent: this.#agent,
      headers,
    };
  }

  #lost(why: string, cause?: unknown): ConnectionLostError {
    return new ConnectionLostError(`No connection to ${this.place}: ${why}`, { cause });
  }
}

interface RawReply {
  readonly status: number;
  readonly text: string;
  readonly requestId?: string;
  readonly retryAfter?: string;
}

function read(response: http.IncomingMessage): Promise<RawReply> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", reject);
    // `close` without `end` is an answer that was cut; after `end` the rejection is without effect.
    response.on("close", () => reject(new Error("closed")));
    response.on("end", () => resolve(rawReply(response, chunks)));
  });
}

function rawReply(response: http.IncomingMessage, chunks: readonly Buffer[]): RawReply {
  const only = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  const requestId = response.headers["x-request-id"];
  const retryAfter = response.headers["retry-after"];
  return {
    status: response.statusCode as number,
    text: (only as Buffer).toString(),
    ...(typeof requestId === "string" && { requestId }),
    ...(retryAfter !== undefined && { retryAfter }),
  };
}

function checked(reply: RawReply): HttpReply {
  const { status, text, requestId } = reply;
  const body = parsed(text);
  if (status >= 200 && status < 300 && body !== NOT_JSON) {
    return { status, body, ...(requestId !== undefined && { requestId }) };
  }
  throw errorOf(reply, body);
}

const NOT_JSON = Symbol("not JSON");

function parsed(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // The caller turns it into an error that shows the status and the beginning of the text.
    return NOT_JSON;
  }
}

/** The error of an answer: the server's own, or what can be said when something between answered instead. */
function errorOf(reply: RawReply, body: unknown): DibsError {
  const { status, text, requestId, retryAfter } = reply;
  const told = (
    body as { error?: { code?: unknown; message?: unknown; details?: Record<string, unknown> } } | undefined
  )?.error;
  const details = { ...told?.details, ...(retryAfter !== undefined && { retryAfter }) };
  const options = { details, ...(requestId !== undefined && { requestId }) };
  if (typeof told?.code === "string") return errorFromCode(told.code, String(told.message), options);
  const beginning = text.slice(0, 200).replace(/\s+/g, " ");
  return errorFromCode(codeOfStatus(status), `Unexpected answer ${status}: ${beginning}`, options);
}

/** For answers that do not come from a Dibs server: a proxy's 502 is a lost connection. */
function codeOfStatus(status: number): string {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 413) return "payload_too_large";
  if (status === 429) return "rate_limited";
  return status >= 502 && status <= 504 ? "connection_lost" : "internal_error";
}

function headersOf(token: string | undefined): Readonly<Record<string, string>> {
  const headers = { accept: "application/json" };
  return token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` };
}

function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "connection refused; is the server running?";
  // A refused connection to several addresses is an AggregateError without a message.
  return error.message || code || error.name;
}
