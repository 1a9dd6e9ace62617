import { type Axis, type Scale, scaleOf } from "./axis.ts";
import { type ChartFrame, colourOf, framed, legend, TITLE_HEIGHT, WIDTH } from "./frame.ts";
import { element, type Markup, text } from "./svg.ts";

/** One measure, side by side with the others. */
export interface BarPanel {
  readonly axis: Axis;
  /** For each group in order, a value for each series in order; undefined where there is none. */
  readonly values: readonly (readonly (number | undefined)[])[];
}

export interface BarChart extends ChartFrame {
  /** What the bars of one row are about. `note` stands behind the name, in a softer colour. */
  readonly groups: readonly { readonly name: string; readonly note?: string }[];
  /** The names of the bars in each group. */
  readonly series: readonly string[];
  readonly panels: readonly BarPanel[];
}

const BAR = 12;
const GROUP_GAP = 12;
const PANEL_GAP = 28;
/** Room for the figure behind the longest bar. */
const FIGURE_WIDTH = 52;
const LETTER = 6.4;

/** Draws lying bars in groups, with their figures, for one measure or several beside each other. */
export function barChart(chart: BarChart): string {
  const { width = WIDTH, groups, series, panels } = chart;
  const names = legend(series, width, TITLE_HEIGHT);
  const top = TITLE_HEIGHT + names.height + 26;
  const rowHeight = Math.max(1, series.length) * BAR + GROUP_GAP;
  const bottom = top + groups.length * rowHeight;
  const left =
    20 + LETTER * Math.max(0, ...groups.map(({ name, note = "" }) => `${name} ${note}`.trim().length));
  const wide = (width - left - 12 - PANEL_GAP * (panels.length - 1)) / panels.length;
  const rows = groups.map(({ name, note }, n) =>
    element(
      "text",
      { x: left - 8, y: top + n * rowHeight + rowHeight / 2 + 4, "text-anchor": "end" },
      text(name),
      ...(note === undefined ? [] : [element("tspan", { class: "soft", dx: 4 }, text(note))]),
    ),
  );
  const drawn = panels.flatMap((panel, n) => {
    const x = left + n * (wide + PANEL_GAP);
    return drawnPanel(chart, panel, { x, wide: wide - FIGURE_WIDTH, top, bottom, rowHeight });
  });
  return framed(chart, bottom + 28, [...names.drawn, ...rows, ...drawn]);
}

interface Place {
  readonly x: number;
  readonly wide: number;
  readonly top: number;
  readonly bottom: number;
  readonly rowHeight: number;
}

function drawnPanel(chart: BarChart, panel: BarPanel, place: Place): Markup[] {
  const { x, wide, top, bottom } = place;
  const given = panel.values.flat().filter((value) => value !== undefined);
  const scale = scaleOf(panel.axis, given);
  const ticks = scale.ticks.flatMap((tick) => {
    const at = x + scale.at(tick) * wide;
    return [
      element("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }),
      element(
        "text",
        { class: "soft", x: at, y: bottom + 16, "text-anchor": "middle" },
        text(scale.format(tick)),
      ),
    ];
  });
  const bars = panel.values.flatMap((values, group) =>
    values.flatMap((value, n) => (value === undefined ? [] : bar(chart, scale, place, { group, n, value }))),
  );
  return [
    element("text", { x, y: top - 8 }, text(panel.axis.label)),
    ...ticks,
    element("line", { class: "edge", x1: x, x2: x, y1: top, y2: bottom }),
    ...bars,
  ];
}

function bar(
  { groups, series }: BarChart,
  scale: Scale,
  { x, wide, top, rowHeight }: Place,
  { group, n, value }: { group: number; n: number; value: number },
): Markup[] {
  const y = top + group * rowHeight + GROUP_GAP / 2 + n * BAR;
  const long = Math.max(1, scale.at(value) * wide);
  const said = `${groups[group]?.name}, ${series[n]}: ${scale.format(value)}`;
  return [
    element(
      "rect",
      { x, y: y + 1, width: long, height: BAR - 2, fill: colourOf(n) },
      element("title", {}, text(said)),
    ),
    element("text", { x: x + long + 4, y: y + BAR - 2.5, "font-size": 10 }, text(scale.format(value))),
  ];
}
