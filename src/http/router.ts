import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { mark } from "../claim-marks.ts";
import {
  type BodyOf,
  type ParamsOf,
  type QueryOf,
  ROUTES,
  type Route,
  type RouteName,
} from "../protocol/routes.ts";
import { check } from "../protocol/validate.ts";
import type { Answer } from "./answer.ts";
import { parseBody } from "./body.ts";
import type { Responder } from "./respond.ts";
import type { Wait, Waits } from "./waits.ts";

/** A request that fits its route's schemas. */
export interface Call<N extends RouteName> {
  readonly params: ParamsOf<N>;
  readonly query: QueryOf<N>;
  readonly body: BodyOf<N>;
  /** The body as it came, for the payloads in it; "" without one. */
  readonly text: string;
  /** That of a {@link Wait}. Asking for it begins one, so only those who wait ask. */
  readonly signal: AbortSignal;
}

export type Answering<N extends RouteName> = (call: Call<N>) => Answer | Promise<Answer>;
export type Answerings<N extends RouteName = RouteName> = { readonly [K in N]: Answering<K> };

/** Registers one function for each route of the table. */
export function register(
  app: FastifyInstance,
  responder: Responder,
  waits: Waits,
  answerings: Answerings,
): void {
  for (const name of Object.keys(ROUTES) as RouteName[]) {
    const route: Route = ROUTES[name];
    const answering = answerings[name] as Answering<RouteName>;
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
      handler: (request, reply) => {
        mark("arrived", request);
        responder.together(() => serve(route, answering, responder, new CheckedCall(request, waits), reply));
      },
    });
  }
}

function serve(
  route: Route,
  answering: Answering<RouteName>,
  responder: Responder,
  call: CheckedCall,
  reply: FastifyReply,
): void {
  const { request } = call;
  const fail = (thrown: unknown): void => {
    call.end();
    responder.fail(request, reply, thrown);
  };
  try {
    mark("served", call, request);
    call.check(route);
    const isOperation = route.group === "Looking and operating" && route.method !== "GET";
    const answer = answering(call as Call<RouteName>);
    if (answer instanceof Promise) {
      answer.then((settled) => {
        call.end();
        responder.answer(request, reply, settled, isOperation);
      }, fail);
    } else responder.answer(request, reply, answer);
  } catch (thrown) {
    fail(thrown);
  }
}

class CheckedCall {
  readonly request: FastifyRequest;
  params: unknown;
  query: unknown;
  body: unknown;
  text = "";
  readonly #waits: Waits;
  #wait: Wait | undefined;

  constructor(request: FastifyRequest, waits: Waits) {
    this.request = request;
    this.#waits = waits;
  }

  check(route: Route): void {
    if (route.params !== undefined) this.params = check(route.params, this.request.params, "path");
    // Probes and scrapers add what they like; only where a field could mean something is a stray one a fault.
    if (route.group === "The server") return;
    this.query = check(route.query ?? "NoFields", numbered(this.request.query as Query), "query");
    if (route.body === undefined) return;
    const bytes = this.request.body as Buffer | undefined;
    if (bytes !== undefined && bytes.length > 0) {
      const { text, value } = parseBody(bytes);
      this.text = text;
      mark("checking", this);
      this.body = check(route.body, value);
      mark("checked", this);
    } else this.body = check(route.body, route.bodyOptional ? {} : undefined);
  }

  get signal(): AbortSignal {
    this.#wait ??= this.#waits.begin(this.request.raw.socket);
    return this.#wait.signal;
  }

  end(): void {
    this.#wait?.end();
  }
}

type Query = Readonly<Record<string, unknown>>;

/** Text that is a whole number becomes one where the route expects a number. */
function numbered(query: Query): Query {
  for (const name of NUMBERS) {
    const value = query[name];
    if (typeof value === "string" && WHOLE.test(value)) return { ...query, [name]: Number(value) };
  }
  return query;
}

const NUMBERS = ["waitMs", "limit"];
const WHOLE = /^-?\d+$/;
