import { describe, expect, it } from "vitest";
import { quantileBetween, ServerMetrics } from "./server-metrics.ts";

function histogram(counts: readonly number[]): ServerMetrics {
  const bounds = ["0.001", "0.01", "+Inf"];
  const lines = counts.map((count, at) => `x_seconds_bucket{le="${bounds[at]}"} ${count}`);
  return new ServerMetrics(["# HELP x_seconds Of x.", "# TYPE x_seconds histogram", ...lines].join("\n"));
}

describe("the metrics of a server", () => {
  it("are read by name and labels, and summed over labels", () => {
    const metrics = new ServerMetrics('a_total{verb="claim"} 2\na_total{verb="settle"} 3\nb 1e3\n# c 4\n');

    expect(metrics.value("a_total", 'verb="claim"')).toBe(2);
    expect(metrics.sum("a_total")).toBe(5);
    expect(metrics.value("b")).toBe(1_000);
    expect(metrics.value("c")).toBeUndefined();
  });

  it("tell what came between two readings, and not what was before", () => {
    const before = histogram([100, 100, 100]);

    expect(quantileBetween(before, histogram([199, 200, 200]), "x_seconds", 0.99)).toBe(0.001);
    expect(quantileBetween(before, histogram([190, 200, 200]), "x_seconds", 0.99)).toBe(0.01);
    expect(quantileBetween(before, histogram([100, 100, 102]), "x_seconds", 0.99)).toBe(Infinity);
  });

  it("tell nothing when nothing came, or the server began anew", () => {
    const before = histogram([100, 100, 100]);

    expect(quantileBetween(before, before, "x_seconds", 0.5)).toBeUndefined();
    expect(quantileBetween(before, histogram([3, 3, 3]), "x_seconds", 0.5)).toBeUndefined();
  });
});
