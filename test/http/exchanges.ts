import { ROUTES, type Route, type RouteName } from "../../src/protocol/routes.ts";
import type { Json, Reply, Serving } from "./serving.ts";
import { type Filling, pathOf } from "./witness.ts";

/** Plays the story of a few tasks against a real server and writes down one exchange for each route. */
export async function recordedExchanges(serving: Serving): Promise<Map<RouteName, string>> {
  const exchanges = new Map<RouteName, string>();
  const names = new StableNames();
  const ask = async (name: RouteName, filling: Filling = {}): Promise<Json> => {
    const route: Route = ROUTES[name];
    const path = pathOf(route, filling);
    const reply = await serving.ask(route.method, path, filling.body, { "x-request-id": "docs-1" });
    names.learn(reply.json);
    if (!exchanges.has(name))
      exchanges.set(name, names.applied(exchangeText(route, path, filling.body, reply)));
    return reply.json;
  };
  const on = ({ id }: { id: string }): Filling => ({ params: { id } });

  await ask("configure", {
    params: { queue: "emails" },
    body: { leaseMs: 60_000, retention: { completedMs: 86_400_000 } },
  });
  const welcome = await ask("enqueue", {
    body: {
      queue: "emails",
      payload: { to: "a@b.c" },
      priority: 5,
      idempotencyKey: "order-17",
      tags: { tenant: "acme" },
    },
  });
  await ask("enqueueBatch", {
    body: {
      tasks: [
        { queue: "emails", payload: { to: "x@y.z" }, delayMs: 60_000 },
        { queue: "emails", idempotencyKey: "order-17" },
      ],
    },
  });
  const [claimed] = (await ask("claim", { body: { queues: ["emails"], waitMs: 10_000, worker: "mailer-1" } }))
    .tasks;
  await ask("task", on(welcome));
  await ask("heartbeat", { ...on(claimed), body: { leaseToken: claimed.lease.token } });
  await ask("heartbeats", {
    body: {
      leases: [
        { id: claimed.id, leaseToken: claimed.lease.token },
        { id: claimed.id, leaseToken: "an-older-token" },
      ],
    },
  });
  await ask("complete", {
    ...on(claimed),
    body: { leaseToken: claimed.lease.token, result: { messageId: "m-17" } },
  });
  await ask("result", { ...on(claimed), query: { waitMs: 10_000 } });

  await serving.enqueue({ queue: "emails", payload: { to: "bad@address" }, backoff: { jitter: "none" } });
  const [failing] = (await ask("claim", { body: { queues: ["emails"] } })).tasks;
  await ask("nack", { ...on(failing), body: { leaseToken: failing.lease.token, error: "550 no such user" } });
  await ask("cancel", on(failing));
  await ask("requeue", on(failing));
  const [again] = (await ask("claim", { body: { queues: ["emails"] } })).tasks;
  await ask("release", { ...on(again), body: { leaseToken: again.lease.token } });
  const [refused] = (await ask("claim", { body: { queues: ["emails"] } })).tasks;
  await serving.enqueue({ queue: "emails", payload: { to: "next@one" } });
  await ask("settle", {
    body: {
      outcomes: [
        {
          id: refused.id,
          leaseToken: refused.lease.token,
          outcome: "nack",
          error: "bad address",
          retry: false,
        },
      ],
      claim: { queues: ["emails"] },
    },
  });
  await ask("list", { params: { queue: "emails" }, query: { state: "dead", limit: 1 } });
  await ask("queues");
  await ask("queue", { params: { queue: "emails" } });
  await ask("requeueDead", { params: { queue: "emails" }, body: { state: "dead", limit: 100 } });
  await ask("pause", { params: { queue: "emails" } });
  await ask("resume", { params: { queue: "emails" } });
  await ask("purge", { params: { queue: "emails" }, query: { state: "completed" } });
  for (const name of ["healthz", "readyz", "metrics", "openapi", "docs"] as const) await ask(name);
  return exchanges;
}

/** Names for what is random or depends on the machine, in the order in which it was met. */
class StableNames {
  readonly #names = new Map<string, string>();

  learn(value: Json): void {
    if (typeof value !== "object" || value === null) return;
    if (typeof value.id === "string" && value.id.includes("~"))
      this.#name(value.id, (n) => `emails~${`${n}Vw5rXqK2mTz8LbY`.padEnd(16, "0").slice(0, 16)}`);
    if (typeof value.token === "string") this.#name(value.token, (n) => `token-${n}`);
    for (const inner of Object.values(value)) this.learn(inner);
  }

  applied(text: string): string {
    let named = text;
    for (const [from, to] of this.#names)
      named = named.replaceAll(from, to).replaceAll(encodeURIComponent(from), to);
    return named;
  }

  #name(from: string, make: (n: number) => string): void {
    if (!this.#names.has(from)) this.#names.set(from, make(this.#names.size + 1));
  }
}

function exchangeText(route: Route, path: string, body: unknown, reply: Reply): string {
  const asked = [`${route.method} ${path}`, ...(body === undefined ? [] : [pretty(body)])].join("\n");
  const answered = [String(reply.status), ...(reply.text === "" ? [] : [shown(reply)])].join("\n");
  return `\`\`\`\n${asked}\n\n${answered}\n\`\`\``;
}

function shown({ json, text }: Reply): string {
  if (json?.openapi !== undefined || text.startsWith("<")) return `${text.slice(0, 160)}…`;
  if (json === undefined)
    return text
      .split("\n")
      .filter((line) => line.includes("dibs_queue_depth"))
      .join("\n");
  return pretty(stable(json));
}

/** With figures of their own in the places of those that the machine makes. */
function stable(value: Json): Json {
  return JSON.parse(JSON.stringify(value, (name, inner) => FIGURES[name] ?? inner));
}

const FIGURES: Readonly<Record<string, number>> = { fence: 7, p50: 0.1, p99: 0.4, p999: 1.2 };

/** JSON with what fits a line on one. */
function pretty(value: unknown, indent = ""): string {
  const flat = JSON.stringify(value, null, 1)?.replaceAll(/\n\s*/g, " ") ?? "";
  if (typeof value !== "object" || value === null || indent.length + flat.length <= 100) return flat;
  const inner = `${indent}  `;
  if (Array.isArray(value))
    return `[\n${value.map((item) => inner + pretty(item, inner)).join(",\n")}\n${indent}]`;
  const members = Object.entries(value).map(
    ([name, member]) => `${inner}${JSON.stringify(name)}: ${pretty(member, inner)}`,
  );
  return `{\n${members.join(",\n")}\n${indent}}`;
}
