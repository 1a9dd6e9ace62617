import { Ajv } from "ajv";
import { expect } from "vitest";
import { ErrorAnswer } from "../../src/protocol/messages.ts";
import { errorsOf, ROUTE_NAMES, ROUTES, type Route, type RouteName } from "../../src/protocol/routes.ts";
import { STATUS } from "../../src/protocol/status.ts";
import type { Reply, Serving } from "./serving.ts";

/** What a request puts into a route. */
export interface Filling {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number>>;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

const ajv = new Ajv({ strict: false });
const isErrorAnswer = ajv.compile(ErrorAnswer);

/**
 * Asks routes by their names, checks that each answer is one that the table of routes promises, in the form
 * that it promises, and remembers which were met.
 */
export class Witness {
  readonly #met = new Set<string>();

  async ask(serving: Serving, name: RouteName, filling: Filling = {}): Promise<Reply> {
    const route: Route = ROUTES[name];
    const reply = await serving.ask(route.method, pathOf(route, filling), filling.body, filling.headers);
    this.note(name, reply);
    return reply;
  }

  note(name: RouteName, reply: Pick<Reply, "status" | "json">): void {
    const route: Route = ROUTES[name];
    const answer = route.answers[reply.status];
    if (answer === undefined) {
      this.#noteError(name, reply);
      return;
    }
    if (answer.schema !== undefined) {
      const fits = ajv.compile(answer.schema);
      expect(fits(reply.json), `${name}: ${ajv.errorsText(fits.errors)}`).toBe(true);
    }
    this.#met.add(`${name} ${reply.status}`);
  }

  /** What the table promises and nobody met. */
  unmet(): string[] {
    return ROUTE_NAMES.flatMap((name) => {
      const route: Route = ROUTES[name];
      return [...Object.keys(route.answers), ...errorsOf(route)].map((answer) => `${name} ${answer}`);
    }).filter((answer) => !this.#met.has(answer));
  }

  #noteError(name: RouteName, { status, json }: Pick<Reply, "status" | "json">): void {
    expect(isErrorAnswer(json), `${name} ${status}: ${JSON.stringify(json)}`).toBe(true);
    const { code } = json.error;
    expect(errorsOf(ROUTES[name]), `${name} answers ${code}`).toContain(code);
    expect(status).toBe(STATUS[code as keyof typeof STATUS]);
    this.#met.add(`${name} ${code}`);
  }
}

export function pathOf(route: Route, { params = {}, query = {} }: Filling): string {
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(params[name] ?? ""),
  );
  const search = new URLSearchParams(
    Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
  );
  return search.size === 0 ? path : `${path}?${search}`;
}

const NO_TASK = "emails~AAAAAAAAAAAAAAAA";

/** A request for each route that its schemas accept. */
export const FILLINGS: Readonly<Record<RouteName, Filling>> = {
  enqueue: { body: { queue: "emails" } },
  enqueueBatch: { body: { tasks: [{ queue: "emails" }] } },
  task: { params: { id: NO_TASK } },
  result: { params: { id: NO_TASK } },
  cancel: { params: { id: NO_TASK } },
  claim: { body: { queues: ["emails"] } },
  complete: { params: { id: NO_TASK }, body: { leaseToken: "t" } },
  nack: { params: { id: NO_TASK }, body: { leaseToken: "t" } },
  release: { params: { id: NO_TASK }, body: { leaseToken: "t" } },
  heartbeat: { params: { id: NO_TASK }, body: { leaseToken: "t" } },
  settle: {
    body: { outcomes: [{ id: NO_TASK, leaseToken: "t", outcome: "nack" }], claim: { queues: ["emails"] } },
  },
  heartbeats: { body: { leases: [{ id: NO_TASK, leaseToken: "t" }] } },
  queues: {},
  queue: { params: { queue: "emails" } },
  configure: { params: { queue: "emails" }, body: {} },
  pause: { params: { queue: "emails" } },
  resume: { params: { queue: "emails" } },
  list: { params: { queue: "emails" }, query: { state: "ready" } },
  requeue: { params: { id: NO_TASK } },
  requeueDead: { params: { queue: "emails" }, body: { state: "dead" } },
  purge: { params: { queue: "emails" }, query: { state: "dead" } },
  healthz: {},
  readyz: {},
  metrics: {},
  openapi: {},
  docs: {},
};
