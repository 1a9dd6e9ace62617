import { type Axis, type Scale, scaleOf } from "./axis.ts";
import { type ChartFrame, colourOf, framed, legend, TITLE_HEIGHT, WIDTH } from "./frame.ts";
import { element, type Markup, text } from "./svg.ts";

export interface Line {
  readonly name: string;
  /** From left to right. A NaN interrupts the line. */
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Also marks each point, with its figures on hovering; for lines of a few dozen points. */
  readonly marked?: boolean;
}

export interface LineChart extends ChartFrame {
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  /** Horizontal lines to be held, such as a target. */
  readonly bounds?: readonly { readonly label: string; readonly value: number }[];
  /** Pixels. Default 360. */
  readonly height?: number;
}

interface Plot {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly x: Scale;
  readonly y: Scale;
}

/** Draws lines over a common x: latency over time, percentile curves, throughput by concurrency. */
export function lineChart(chart: LineChart): string {
  const { width = WIDTH, height = 360, lines, bounds = [] } = chart;
  const names = legend(
    lines.map(({ name }) => name),
    width,
    TITLE_HEIGHT,
  );
  const points = lines.flatMap((line) => line.points);
  const plot: Plot = {
    left: 76,
    right: width - 24,
    top: TITLE_HEIGHT + names.height + 10,
    bottom: height - 46,
    x: scaleOf(
      { ...(chart.x.scale !== "log" && { min: points[0]?.[0] ?? 0 }), ...chart.x },
      points.map(([x]) => x),
    ),
    y: scaleOf(chart.y, [...points.map(([, y]) => y), ...bounds.map(({ value }) => value)]),
  };
  return framed(chart, height, [
    ...names.drawn,
    ...grid(plot),
    ...labels(plot, chart.x, chart.y, height),
    ...bounds.flatMap((bound) => boundary(plot, bound)),
    ...lines.flatMap((line, n) => drawnLine(plot, line, colourOf(n))),
  ]);
}

function across(plot: Plot, x: number): number {
  return plot.left + plot.x.at(x) * (plot.right - plot.left);
}

function up(plot: Plot, y: number): number {
  return plot.bottom - plot.y.at(y) * (plot.bottom - plot.top);
}

function grid(plot: Plot): Markup[] {
  const { left, right, top, bottom, x, y } = plot;
  return [
    ...y.ticks.flatMap((tick) => {
      const at = up(plot, tick);
      return [
        element("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
        element(
          "text",
          { class: "soft", x: left - 8, y: at + 4, "text-anchor": "end" },
          text(y.format(tick)),
        ),
      ];
    }),
    ...x.ticks.flatMap((tick) => {
      const at = across(plot, tick);
      return [
        element("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }),
        element(
          "text",
          { class: "soft", x: at, y: bottom + 17, "text-anchor": "middle" },
          text(x.format(tick)),
        ),
      ];
    }),
    element("path", { class: "edge", fill: "none", d: `M${left} ${top}V${bottom}H${right}` }),
  ];
}

function labels({ left, right, top, bottom }: Plot, x: Axis, y: Axis, height: number): Markup[] {
  const middle = (top + bottom) / 2;
  return [
    element("text", { x: (left + right) / 2, y: height - 10, "text-anchor": "middle" }, text(x.label)),
    element(
      "text",
      { x: 16, y: middle, "text-anchor": "middle", transform: `rotate(-90 16 ${Math.round(middle)})` },
      text(y.label),
    ),
  ];
}

function boundary(plot: Plot, { label, value }: { label: string; value: number }): Markup[] {
  const at = up(plot, value);
  return [
    element("line", { class: "bound", x1: plot.left, x2: plot.right, y1: at, y2: at }),
    element("text", { class: "soft", x: plot.right - 4, y: at - 5, "text-anchor": "end" }, text(label)),
  ];
}

function drawnLine(plot: Plot, { name, points, marked }: Line, colour: string): Markup[] {
  const path: string[] = [];
  let isDown = false;
  for (const [x, y] of points) {
    const isShown = Number.isFinite(x) && Number.isFinite(y);
    if (isShown) path.push(`${isDown ? "L" : "M"}${across(plot, x).toFixed(1)} ${up(plot, y).toFixed(1)}`);
    isDown = isShown;
  }
  const line = element("path", {
    d: path.join(""),
    fill: "none",
    stroke: colour,
    "stroke-width": 2,
    "stroke-linejoin": "round",
  });
  if (marked !== true) return [line];
  const marks = points
    .filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))
    .map(([x, y]) =>
      element(
        "circle",
        { cx: across(plot, x), cy: up(plot, y), r: 3.5, fill: colour },
        element("title", {}, text(`${name}: ${plot.y.format(y)} at ${plot.x.format(x)}`)),
      ),
    );
  return [line, ...marks];
}
