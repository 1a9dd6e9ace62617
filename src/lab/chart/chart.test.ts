import { describe, expect, it } from "vitest";
import { scaleOf } from "./axis.ts";
import { type BarChart, barChart } from "./bar-chart.ts";
import { type LineChart, lineChart } from "./line-chart.ts";

const LINES: LineChart = {
  id: "chart-lines",
  title: "Latency",
  description: "Two lines.",
  x: { label: "callers", scale: "log", ticks: [1, 10, 100] },
  y: { label: "P50, µs" },
  lines: [
    {
      name: "before",
      points: [
        [1, 100],
        [10, 200],
        [100, 400],
      ],
      marked: true,
    },
    {
      name: "after",
      points: [
        [1, 50],
        [10, Number.NaN],
        [100, 90],
      ],
    },
  ],
  bounds: [{ label: "target", value: 300 }],
};

const BARS: BarChart = {
  id: "chart-bars",
  title: "Rungs",
  description: "Two groups.",
  groups: [{ name: "first", note: "doubles" }, { name: "second" }],
  series: ["1k", "100k"],
  panels: [
    {
      axis: { label: "tasks/s", scale: "log" },
      values: [
        [10, 100],
        [1_000, undefined],
      ],
    },
  ],
};

/** Widths of the bars, in order. */
function widthsIn(svg: string): number[] {
  return [...svg.matchAll(/<rect[^>]* width="([\d.]+)"[^>]*><title>/g)].map(([, width]) => Number(width));
}

describe("a scale", () => {
  it("ends a linear axis at round values that hold everything, and begins it at 0", () => {
    const scale = scaleOf({ label: "" }, [3, 47]);

    expect(scale.ticks).toEqual([0, 10, 20, 30, 40, 50]);
    expect([scale.at(0), scale.at(25), scale.at(50), scale.at(99)]).toEqual([0, 0.5, 1, 1]);
  });

  it("gives each power of ten of a logarithmic axis the same room", () => {
    const scale = scaleOf({ label: "", scale: "log" }, [0, 20, 9_000]);

    expect(scale.ticks).toEqual([10, 100, 1_000, 10_000]);
    expect(scale.at(100)).toBeCloseTo(1 / 3);
    expect(scale.at(0)).toBe(0);
  });

  it("writes only some powers of ten where all would run into each other", () => {
    const scale = scaleOf({ label: "", scale: "log" }, [20, 9_000_000]);

    expect(scale.ticks).toEqual([10, 1_000, 100_000, 10_000_000]);
  });

  it.each(["log", "linear"] as const)("has an axis also for no value and for one alone: %s", (scale) => {
    for (const values of [[], [7], [10], [0]]) {
      const fitted = scaleOf({ label: "", scale }, values);
      for (const value of values) expect(Number.isFinite(fitted.at(value))).toBe(true);
      expect(fitted.ticks.length).toBeGreaterThan(1);
    }
  });
});

describe("a bar chart", () => {
  it("draws a bar for each value, long as the axis says, and none where there is none", () => {
    const [shorter, middle, longest, ...more] = widthsIn(barChart(BARS)) as [number, number, number];

    expect(more).toEqual([]);
    expect(shorter).toBe(1); // The low end of a logarithmic axis: still to be seen.
    expect(middle / longest).toBeCloseTo(0.5, 2);
  });

  it("says each bar's figure, and its title and description to those who cannot see it", () => {
    const svg = barChart(BARS);

    expect(svg).toContain("<title>first, 100k: 100</title>");
    expect(svg).toMatch(/role="img" aria-labelledby="chart-bars-title chart-bars-desc"/);
    expect(svg).toContain('<title id="chart-bars-title">Rungs</title>');
    expect(svg).toContain('<desc id="chart-bars-desc">Two groups.</desc>');
  });

  it("lets no name break the picture", () => {
    const svg = barChart({ ...BARS, title: 'a <b> & "c"', groups: [{ name: "<script>" }] });

    expect(svg).toContain("a &lt;b&gt; &amp; &quot;c&quot;");
    expect(svg).not.toContain("<script>");
  });
});

describe("a line chart", () => {
  it("interrupts a line where there is no value, and marks points with their figures", () => {
    const svg = lineChart(LINES);
    const paths = [...svg.matchAll(/ d="(M[^"]+)" fill="none" stroke="/g)].map(([, d]) => d as string);

    expect(paths.map((d) => d.replace(/[\d. ]+/g, ""))).toEqual(["MLL", "MM"]);
    expect(svg).toContain("<title>before: 200 at 10</title>");
    expect(svg.match(/<circle /g)).toHaveLength(3);
  });

  it("draws a bound at its value", () => {
    const svg = lineChart({ ...LINES, bounds: [{ label: "as the last point", value: 400 }] });
    const bound = /class="bound"[^>]* y1="([\d.]+)"/.exec(svg)?.[1];
    const last = [...svg.matchAll(/<circle cx="[\d.]+" cy="([\d.]+)"/g)].at(-1)?.[1];

    expect(bound).toBe(last);
  });
});
