import { describe, expect, it } from "vitest";
import { readEnvironment } from "./environment.ts";

describe("environment", () => {
  it("names the machine, the versions and the commit", async () => {
    const environment = await readEnvironment();

    expect(environment.cores).toBeGreaterThan(0);
    expect(environment.memoryBytes).toBeGreaterThan(1e8);
    expect(environment.node).toBe(process.versions.node);
    expect(environment.dibs).toMatch(/^\d+\.\d+\.\d+/);
    expect(environment.commit === null || /^[0-9a-f]{40}$/.test(environment.commit)).toBe(true);
  });
});
