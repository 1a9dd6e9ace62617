/** Aligned columns of text for a terminal. */
export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number;
  /** May be cut when the terminal is too narrow; the others keep their width. */
  readonly flexible?: true;
}

const GAP = "  ";
const FLEXIBLE_WIDTH_MIN = 8;

/**
 * The lines of a table, the titles first. Columns of numbers are aligned to the right. With `width` no line is
 * longer than that.
 */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width?: number): string[] {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  const right = columns.map(
    (_, at) => rows.length > 0 && cells.every((line) => typeof line[at] === "number"),
  );
  const texts = [
    columns.map((column) => column.title),
    ...cells.map((line) => line.map((cell) => plain(`${cell}`))),
  ];
  const widths = columns.map((_, at) => Math.max(...texts.map((line) => lengthOf(line[at] as string))));
  if (width !== undefined) shrink(widths, columns, width);
  return texts.map((line) => {
    const padded = line.map((text, at) =>
      pad(cut(text, widths[at] as number), widths[at] as number, right[at] === true),
    );
    const whole = padded.join(GAP).trimEnd();
    return width === undefined ? whole : cut(whole, width);
  });
}

/** Text of others made harmless for a terminal: what could move its cursor or hide text becomes visible. */
export function plain(text: string): string {
  return text.replace(/[\t\n\r]+/g, " ").replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}

/** The first `width` characters of a text, the last of them `…` when something was cut. */
export function cut(text: string, width: number): string {
  if (lengthOf(text) <= width) return text;
  return `${[...text].slice(0, Math.max(0, width - 1)).join("")}…`;
}

function shrink<Row>(widths: number[], columns: readonly Column<Row>[], width: number): void {
  let excess = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (widths.length - 1) - width;
  const flexible = [...widths.keys()].filter((at) => columns[at]?.flexible);
  while (excess > 0) {
    const widest = flexible.reduce<number | undefined>(
      (best, at) => (best === undefined || (widths[at] as number) > (widths[best] as number) ? at : best),
      undefined,
    );
    if (widest === undefined || (widths[widest] as number) <= FLEXIBLE_WIDTH_MIN) return;
    widths[widest] = (widths[widest] as number) - 1;
    excess -= 1;
  }
}

function pad(text: string, width: number, right: boolean): string {
  const space = " ".repeat(Math.max(0, width - lengthOf(text)));
  return right ? space + text : text + space;
}

function lengthOf(text: string): number {
  return [...text].length;
}
