import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { type Json, Serving } from "../../test/http/serving.ts";
import { ROUTE_NAMES, ROUTES } from "../protocol/routes.ts";
import { openApiDocument } from "./openapi.ts";

describe("the OpenAPI document", () => {
  it.each([true, false])("is valid OpenAPI 3.1 (with tokens: %s)", async (needsToken) => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(structuredClone(openApiDocument(needsToken)));

    expect(errors).toBeUndefined();
    expect([valid, validator.version]).toEqual([true, "3.1"]);
  });

  it("is what the server answers, and describes every route", async () => {
    await using serving = await Serving.start();
    const { json } = await serving.get("/openapi.json");

    expect(json).toEqual(JSON.parse(JSON.stringify(openApiDocument(false))));
    for (const name of ROUTE_NAMES) {
      const { method, path } = ROUTES[name];
      expect(json.paths[path][method.toLowerCase()].operationId).toBe(name);
    }
  });

  it("refers only to what it names", () => {
    const document = JSON.parse(JSON.stringify(openApiDocument(true))) as Json;
    const references = new Set(
      [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
        ([, name]) => name,
      ),
    );

    expect(
      [...references].filter((name) => document.components.schemas[name as string] === undefined),
    ).toEqual([]);
    expect(references).toContain("Task");
  });

  it("asks for a token everywhere but at the health checks, when the server does", () => {
    const { paths } = openApiDocument(true) as Json;
    const open = Object.entries(paths as Json)
      .flatMap(([path, operations]) =>
        Object.values(operations as Json).map((operation: Json) => ({ path, operation })),
      )
      .filter(({ operation }) => operation.security === undefined);

    expect(open.map(({ path }) => path)).toEqual(["/healthz", "/readyz"]);
  });

  it("gives bounds where the schemas have them", () => {
    const { components, paths } = openApiDocument(false) as Json;

    expect(components.schemas.Claim.properties.leaseMs).toMatchObject({
      type: "integer",
      minimum: 1_000,
      maximum: 43_200_000,
    });
    const parameters = paths["/v1/queues/{queue}/tasks"].get.parameters;
    expect(parameters.map(({ name, in: place, required }: Json) => [name, place, required])).toEqual([
      ["queue", "path", true],
      ["state", "query", true],
      ["cursor", "query", false],
      ["limit", "query", false],
    ]);
  });
});
