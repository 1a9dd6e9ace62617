/** What is in texts of `/metrics`, and in the expressions that are asked of them. */

/** A line of the text: `dibs_queue_depth{queue="mail",state="ready"}` and its value. */
export interface Sample {
  readonly series: string;
  readonly value: string;
}

export function samplesIn(text: string): Sample[] {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line) => {
    const cut = line.lastIndexOf(" ");
    return { series: line.slice(0, cut), value: line.slice(cut + 1) };
  });
}

/** The values of each series, scrape by scrape, as promtool's tests have them: `_` where it was not there. */
export function seriesOver(scrapes: readonly string[], target: string): { series: string; values: string }[] {
  const byScrape = scrapes.map(
    (text) => new Map(samplesIn(text).map(({ series, value }) => [series, value])),
  );
  const names = new Set(byScrape.flatMap((samples) => [...samples.keys()]));
  return [...names].map((series) => ({
    series: labelled(series, target),
    values: byScrape.map((samples) => samples.get(series) ?? "_").join(" "),
  }));
}

/** Prometheus adds to each sample where it comes from. */
function labelled(series: string, target: string): string {
  const own = `instance="${target}"`;
  return series.endsWith("}") ? `${series.slice(0, -1)},${own}}` : `${series}{${own}}`;
}

/** A selector of an expression, and what is wrong with it: nothing when the text has such a sample. */
export function faultsIn(expression: string, text: string): string[] {
  const samples = samplesIn(text).map(({ series }) => series);
  const selectors = [...expression.matchAll(/(dibs_\w+)(?:\{([^}]*)\})?/g)];
  return selectors.flatMap(([selector, name, matchers = ""]) => {
    const named = samples.filter((series) => series === name || series.startsWith(`${name}{`));
    if (named.length === 0) return [`there is no ${name}`];
    const wanted = [...matchers.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g)];
    const isMet = (series: string) => wanted.every((matcher) => fits(series, matcher));
    return named.some(isMet) ? [] : [`nothing fits ${selector}`];
  });
}

/** `instance` is not in the text: Prometheus adds it. */
function fits(series: string, [, label, sign, value]: RegExpMatchArray): boolean {
  if (label === "instance") return true;
  const found = new RegExp(`[{,]${label}="([^"]*)"`).exec(series)?.[1];
  if (found === undefined) return false;
  const isSame = sign?.includes("~") ? new RegExp(`^(?:${value})$`).test(found) : found === value;
  return sign?.startsWith("!") ? !isSame : isSame;
}

/** The labels by which an expression groups. */
export function groupingsIn(expression: string): string[] {
  const lists = [...expression.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)].map(([, list]) => list as string);
  return lists.flatMap((list) => list.split(",").map((label) => label.trim()));
}
