import type { Connection } from "../../sdk/connection.ts";
import type { ClaimTracer } from "./claim-tracer.ts";
import { sharedNow } from "./shared-clock.ts";
import { newTrace } from "./trace.ts";

/** The caller's side of claims in this process: one in `every` is traced. */
export class LocalClaims {
  readonly #connection: Pick<Connection, "claim">;
  readonly #tracer: ClaimTracer;
  readonly #every: number;
  #count = 0;

  constructor(connection: Pick<Connection, "claim">, tracer: ClaimTracer, every: number) {
    this.#connection = connection;
    this.#tracer = tracer;
    this.#every = every;
  }

  claim: Connection["claim"] = (given, signal) => {
    this.#count += 1;
    if (this.#count % this.#every !== 0) return this.#connection.claim(given, signal);
    // A copy, so that the marks tell this claim from others that ask for the same.
    const body = { ...given };
    const trace = newTrace();
    this.#tracer.follow(body, trace);
    trace.called = sharedNow();
    return this.#connection.claim(body, signal).finally(() => {
      trace.ended = sharedNow();
    });
  };
}
