import type { TSchema } from "typebox";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Serving } from "../../test/http/serving.ts";
import { FILLINGS, pathOf } from "../../test/http/witness.ts";
import { ROUTE_NAMES, ROUTES, type Route, type RouteName } from "../protocol/routes.ts";
import { schemaOf } from "../protocol/validate.ts";
import { LIMITS } from "../task/limits.ts";

/**
 * Each bound of each field of each route, read from the schemas: the last value inside is taken, the first
 * one outside is refused with the field, the bound and the value. Below them the bounds as the contract
 * words them, so that a schema that drifts from it is noticed.
 */
let serving: Serving;
beforeAll(async () => {
  serving = await Serving.start();
});
afterAll(() => serving[Symbol.asyncDispose]());

interface Probe {
  readonly field: string;
  readonly value: unknown;
  /** Absent: the value is to be taken. */
  readonly bound?: unknown;
}

const bodies = ROUTE_NAMES.filter((name) => (ROUTES[name] as Route).body !== undefined);
const queries = ROUTE_NAMES.filter((name) => (ROUTES[name] as Route).query !== undefined);

describe("bodies", () => {
  for (const name of bodies) {
    const route: Route = ROUTES[name];
    const probes = probesOf(schemaOf(route.body as NonNullable<Route["body"]>), "");
    if (probes.length === 0) continue;

    it.each(probes)(`${name} knows the bounds of $field: $value`, async ({ field, value, bound }) => {
      const body = structuredClone(FILLINGS[name].body ?? {});
      put(body as Nested, field, value);
      const { status, json } = await serving.ask(route.method, pathOf(route, FILLINGS[name]), body);

      if (bound === undefined) expect(json?.error?.code, JSON.stringify(json)).not.toBe("invalid_request");
      else expect([status, json.error.details], JSON.stringify(json)).toMatchObject([400, { field, bound }]);
    });
  }
});

describe("query parameters", () => {
  for (const name of queries) {
    const route: Route = ROUTES[name];
    const probes = probesOf(schemaOf(route.query as NonNullable<Route["query"]>), "").filter(
      ({ value }) => typeof value !== "object",
    );

    it.each(probes)(`${name} knows the bounds of $field: $value`, async ({ field, value, bound }) => {
      const query = { ...FILLINGS[name].query, [field]: String(value) };
      const { status, json } = await serving.ask(route.method, pathOf(route, { ...FILLINGS[name], query }));

      if (bound === undefined) expect(json.error?.code, JSON.stringify(json)).not.toBe("invalid_request");
      else expect([status, json.error.details], JSON.stringify(json)).toMatchObject([400, { field, bound }]);
    });
  }

  it.each(["", "abc", "1.5", "1e3", " 1", "0x10", "-1"])("refuses waitMs=%s", async (waitMs) => {
    const { status, json } = await serving.get(`/v1/tasks/q~AAAAAAAAAAAAAAAA/result?waitMs=${waitMs}`);

    expect([status, json.error.details.field]).toEqual([400, "waitMs"]);
  });

  it("refuses a parameter that is given twice", async () => {
    const { status, json } = await serving.get("/v1/queues/q/tasks?state=ready&state=dead");

    expect([status, json.error.details.field]).toEqual([400, "state"]);
  });
});

describe("the bounds of the contract", () => {
  it.each<[RouteName, string, unknown, unknown]>([
    ["enqueue", "priority", 9, 10],
    ["enqueue", "priority", 0, -1],
    ["enqueue", "maxAttempts", 100, 101],
    ["enqueue", "maxAttempts", 1, 0],
    ["enqueue", "idempotencyKey", "k".repeat(200), "k".repeat(201)],
    ["enqueue", "queue", `q${"x".repeat(99)}`, `q${"x".repeat(100)}`],
    ["enqueue", "queue", "A.b_c-9", "a/b"],
    ["enqueue", "queue", "9", ".a"],
    ["enqueue", "queue", "a", ""],
    ["enqueueBatch", "tasks", Array(1_000).fill({ queue: "q" }), Array(1_001).fill({ queue: "q" })],
    ["enqueueBatch", "tasks", [{ queue: "q" }], []],
    [
      "claim",
      "queues",
      Array.from({ length: 16 }, (_, n) => `q${n}`),
      Array.from({ length: 17 }, (_, n) => `q${n}`),
    ],
    ["claim", "queues", ["q"], []],
    ["claim", "max", 1_000, 1_001],
    ["claim", "max", 1, 0],
    ["claim", "leaseMs", 43_200_000, 43_200_001],
    ["claim", "leaseMs", 1_000, 999],
    ["claim", "waitMs", 0, 60_001],
    ["claim", "worker", "w".repeat(100), "w".repeat(101)],
    ["nack", "error", "e".repeat(10_240), "e".repeat(10_241)],
    ["nack", "error", "ä".repeat(5_120), "ä".repeat(5_121)],
    ["nack", "delayMs", 0, -1],
    ["heartbeat", "leaseMs", 1_000, 999],
    ["settle", "outcomes", outcomes(1_000), outcomes(1_001)],
    ["settle", "outcomes", outcomes(1), []],
    ["heartbeats", "leases", leases(1_000), leases(1_001)],
    ["heartbeats", "leases", leases(1), []],
    ["requeueDead", "limit", 10_000, 10_001],
  ])("%s takes %s to its last value and refuses the next", async (name, field, inside, outside) => {
    const route: Route = ROUTES[name];
    const path = pathOf(route, FILLINGS[name]);
    const withField = (value: unknown) => ({ ...(FILLINGS[name].body as object), [field]: value });

    const taken = await serving.ask(route.method, path, withField(inside));
    expect(taken.json?.error?.code, taken.text.slice(0, 200)).not.toBe("invalid_request");
    const refused = await serving.ask(route.method, path, withField(outside));
    expect([refused.status, refused.json.error.code, refused.json.error.details.field]).toEqual([
      400,
      "invalid_request",
      field,
    ]);
  });

  it("says what it expected and what it got", async () => {
    const { json } = await serving.post("/v1/claims", { queues: ["q"], leaseMs: 0 });

    expect(json.error).toEqual({
      code: "invalid_request",
      message: "Expected `leaseMs` to be 1000 or more, got 0",
      details: { field: "leaseMs", bound: 1_000, value: 0 },
    });
  });

  it("names the place of a fault in a batch", async () => {
    const { json } = await serving.post("/v1/tasks/batch", {
      tasks: [{ queue: "q" }, { queue: "q", priority: "high" }],
    });

    expect(json.error.message).toBe('Expected `tasks[1].priority` to be an integer, got "high"');
  });

  it.each([
    ["2026-01-31T08:00:00Z", Date.UTC(2026, 0, 31, 8)],
    ["2026-01-31T08:00:00.25+01:00", Date.UTC(2026, 0, 31, 7, 0, 0, 250)],
    ["1970-01-01T00:00:00Z", 0],
    ["9999-12-31T23:59:59.999Z", 253_402_300_799_999],
    [0, 0],
    [253_402_300_799_999, 253_402_300_799_999],
  ])("takes runAt %s", async (runAt, at) => {
    const { status, json } = await serving.post("/v1/tasks", { queue: "times", runAt });

    expect([status, json.state]).toEqual([201, at > serving.clock.now() ? "scheduled" : "ready"]);
    if (json.state === "scheduled") expect(json.runAt).toBe(at);
  });

  it.each([
    "2026-01-31T08:00:00", // Which zone?
    "2026-02-30T08:00:00Z",
    "2026-01-31",
    "2026-01-31T24:00:00Z",
    "2026-01-31T08:60:00Z",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59-01:00",
    "tomorrow",
    "",
    -1,
    253_402_300_800_000,
    1.5,
    true,
    null,
  ])("refuses runAt %s", async (runAt) => {
    const { status, json } = await serving.post("/v1/tasks", { queue: "times", runAt });

    expect([status, json.error.details.field]).toEqual([400, "runAt"]);
  });

  it("refuses runAt and delayMs together", async () => {
    const { status, json } = await serving.post("/v1/tasks", { queue: "times", runAt: 0, delayMs: 0 });

    expect([status, json.error.details.field]).toEqual([400, "runAt"]);
  });

  it("refuses fields that do not belong to an outcome", async () => {
    const stray = { id: "q~AAAAAAAAAAAAAAAA", leaseToken: "t", outcome: "complete", error: "e" };
    const { status, json } = await serving.post("/v1/settle", { outcomes: [stray] });

    expect([status, json.error.details.field]).toEqual([400, "outcomes[0].error"]);
  });

  it("refuses force in a settle, and a release without token or force", async () => {
    const forced = { id: "q~AAAAAAAAAAAAAAAA", leaseToken: "t", outcome: "release", force: true };
    expect((await serving.post("/v1/settle", { outcomes: [forced] })).json.error.details.field).toBe(
      "outcomes[0].force",
    );

    const bare = await serving.post("/v1/tasks/q~AAAAAAAAAAAAAAAA/release", { force: false });
    expect([bare.status, bare.json.error.details.field]).toEqual([400, "leaseToken"]);
  });

  it("keeps at least ten seconds of what retention would let go at once", () => {
    expect(LIMITS.retentionMsMin).toBe(10_000);
  });
});

function outcomes(count: number): object[] {
  return Array.from({ length: count }, () => ({
    id: "q~AAAAAAAAAAAAAAAA",
    leaseToken: "t",
    outcome: "complete",
  }));
}

function leases(count: number): object[] {
  return Array.from({ length: count }, () => ({ id: "q~AAAAAAAAAAAAAAAA", leaseToken: "t" }));
}

interface Shape {
  readonly type?: string;
  readonly anyOf?: readonly TSchema[];
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly items?: TSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxProperties?: number;
}

/** Values at both sides of each bound that a schema has, and one of a wrong type. */
function probesOf(given: TSchema, field: string): Probe[] {
  const schema = given as Shape;
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([name, member]) =>
      probesOf(member, field === "" ? name : `${field}.${name}`),
    );
  }
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap((branch) => inner(branch, field));
  if (schema.type === "array") return schema.items === undefined ? [] : probesOf(schema.items, `${field}[0]`);
  return inner(given, field);
}

function inner(given: TSchema, field: string): Probe[] {
  const schema = given as Shape;
  const probes: Probe[] = [];
  // A claim at its longest wait would wait; that it is taken is shown where claims wait.
  const waits = field.endsWith("waitMs");
  if (schema.maximum !== undefined) {
    if (!waits) probes.push({ field, value: schema.maximum });
    if (schema.maximum < Number.MAX_SAFE_INTEGER)
      probes.push({ field, value: schema.maximum + 1, bound: schema.maximum });
  }
  if (schema.minimum !== undefined) {
    probes.push(
      { field, value: schema.minimum },
      { field, value: schema.minimum - 1, bound: schema.minimum },
    );
  }
  if (schema.maxLength !== undefined && !field.endsWith("runAt") && !field.endsWith("cursor")) {
    probes.push({ field, value: "é".repeat(schema.maxLength) });
    probes.push({ field, value: "é".repeat(schema.maxLength + 1), bound: schema.maxLength });
  }
  if (schema.minLength !== undefined) probes.push({ field, value: "", bound: schema.minLength });
  if (schema.enum !== undefined) {
    probes.push(...schema.enum.map((value) => ({ field, value })), {
      field,
      value: "other",
      bound: schema.enum,
    });
  }
  if (schema.const !== undefined) probes.push({ field, value: "other", bound: schema.const });
  return probes;
}

type Nested = Record<string, unknown>;

/** Sets `tasks[0].backoff.type` and the like. */
function put(target: Nested, field: string, value: unknown): void {
  const steps = field.split(/[.[\]]+/).filter((step) => step !== "");
  const last = steps.pop() as string;
  let place = target;
  for (const step of steps) {
    place[step] ??= {};
    place = place[step] as Nested;
  }
  place[last] = value;
}
