import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Connection } from "../../sdk/connection.ts";
import { sharedNow } from "./shared-clock.ts";
import { isPicked, newTrace, type Trace } from "./trace.ts";

/** Node's own channels: a request was written whole, the head of its answer was read. */
const LEFT = "http.client.request.start";
const HEARD = "http.client.response.finish";

interface Exchange {
  readonly request: ClientRequest;
  readonly response?: IncomingMessage;
}

/** The caller's side of claims over HTTP, through the client that workers use. */
export class HttpClaims {
  readonly #connection: Pick<Connection, "claim">;
  readonly #every: number;
  /** A client's request is made within the claim's call and written later: the context leads back. */
  readonly #context = new AsyncLocalStorage<Trace>();
  #traces: Trace[] = [];
  readonly #byRequest = new WeakMap<ClientRequest, Trace>();
  readonly #onLeft = (exchange: unknown) => {
    const trace = this.#context.getStore();
    if (trace === undefined) return;
    trace.left = sharedNow();
    this.#byRequest.set((exchange as Exchange).request, trace);
  };
  readonly #onHeard = (exchange: unknown) => {
    const now = sharedNow();
    const { request, response } = exchange as Exchange;
    const trace = this.#byRequest.get(request);
    if (trace === undefined) return;
    trace.heard = now;
    trace.id = String(response?.headers["x-request-id"] ?? "");
  };

  constructor(connection: Pick<Connection, "claim">, every: number) {
    this.#connection = connection;
    this.#every = every;
  }

  resume(): void {
    subscribe(LEFT, this.#onLeft);
    subscribe(HEARD, this.#onHeard);
  }

  pause(): void {
    unsubscribe(LEFT, this.#onLeft);
    unsubscribe(HEARD, this.#onHeard);
  }

  claim: Connection["claim"] = async (body, signal) => {
    const trace = newTrace();
    trace.called = sharedNow();
    const tasks = await this.#context.run(trace, () => this.#connection.claim(body, signal));
    trace.ended = sharedNow();
    if (trace.id !== "" && isPicked(trace.id, this.#every)) this.#traces.push(trace);
    return tasks;
  };

  take(): readonly Trace[] {
    const taken = this.#traces;
    this.#traces = [];
    return taken;
  }
}
