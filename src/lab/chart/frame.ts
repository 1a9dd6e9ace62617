import { element, type Markup, text } from "./svg.ts";

/** What every chart has. */
export interface ChartFrame {
  /** Unlike that of every other chart of the page: a letter, then letters, digits and hyphens. */
  readonly id: string;
  /** Stands above the chart, and is its name for those who cannot see it. */
  readonly title: string;
  /** What the chart shows, in a sentence or two, for those who cannot see it. */
  readonly description: string;
  /** Pixels; the chart scales to the width that it is given. Default 860. */
  readonly width?: number;
}

export const WIDTH = 860;
export const TITLE_HEIGHT = 34;
const LEGEND_ROW = 20;
/** About the width of a character of the legend, pixels. */
const LETTER = 6.6;

/** Colours that people with any kind of colour blindness can tell apart. Source: Okabe and Ito, "Color Universal Design" (2008). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#b8a900"];

/** Light and dark as the reader's system has it; classes of ours alone, for the chart may stand inside a page. */
const STYLE = `
.dibs-chart{font-family:system-ui,sans-serif;font-size:12px}
.dibs-chart .paper{fill:#fff}.dibs-chart text{fill:#222}.dibs-chart .soft{fill:#666}
.dibs-chart .grid{stroke:#ddd}.dibs-chart .edge{stroke:#999}.dibs-chart .bound{stroke:#c00;stroke-dasharray:5 4}
.dibs-chart .title{font-size:15px;font-weight:600}
@media (prefers-color-scheme:dark){
.dibs-chart .paper{fill:#16181c}.dibs-chart text{fill:#e4e4e4}.dibs-chart .soft{fill:#a5a5a5}
.dibs-chart .grid{stroke:#333}.dibs-chart .edge{stroke:#777}.dibs-chart .bound{stroke:#f66}}
`;

export function colourOf(n: number): string {
  return COLOURS[n % COLOURS.length] as string;
}

/** Puts the frame around what was drawn; an SVG document that also stands inside an HTML page. */
export function framed(frame: ChartFrame, height: number, drawn: readonly Markup[]): string {
  const { id, title, description, width = WIDTH } = frame;
  return element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      class: "dibs-chart",
      id,
      viewBox: `0 0 ${width} ${Math.ceil(height)}`,
      width,
      height: Math.ceil(height),
      style: "max-width:100%;height:auto",
      role: "img",
      "aria-labelledby": `${id}-title ${id}-desc`,
    },
    element("title", { id: `${id}-title` }, text(title)),
    element("desc", { id: `${id}-desc` }, text(description)),
    element("style", {}, STYLE as Markup),
    element("rect", { class: "paper", width: "100%", height: "100%" }),
    element("text", { class: "title", x: 12, y: 22 }, text(title)),
    ...drawn,
  );
}

/** The names of the series with their colours, in as many rows as they need; none for a single one. */
export function legend(
  names: readonly string[],
  width: number,
  top: number,
): { readonly height: number; readonly drawn: readonly Markup[] } {
  if (names.length < 2) return { height: 0, drawn: [] };
  let [x, y] = [12, top];
  const drawn = names.flatMap((name, n) => {
    const wide = 30 + name.length * LETTER;
    if (x + wide > width && x > 12) {
      x = 12;
      y += LEGEND_ROW;
    }
    const at = x;
    x += wide;
    return [
      element("rect", { x: at, y: y + 3, width: 12, height: 12, rx: 2, fill: colourOf(n) }),
      element("text", { x: at + 17, y: y + 13 }, text(name)),
    ];
  });
  return { height: y + LEGEND_ROW + 4 - top, drawn };
}
