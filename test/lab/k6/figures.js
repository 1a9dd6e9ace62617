// From samples to what k6 tells of them, and whether a threshold holds.

const OWN = {
  http_reqs: "counter",
  http_req_duration: "trend",
  http_req_failed: "rate",
  iterations: "counter",
  iteration_duration: "trend",
  checks: "rate",
  vus_max: "gauge",
};

const FIGURES = {
  counter: (values, seconds) => {
    const count = values.reduce((sum, value) => sum + value, 0);
    return { count, rate: count / seconds };
  },
  gauge: (values) => ({
    value: values.at(-1) ?? 0,
    min: Math.min(...(values.length === 0 ? [0] : values)),
    max: Math.max(...(values.length === 0 ? [0] : values)),
  }),
  rate: (values) => {
    const passes = values.filter((value) => value !== 0).length;
    const rate = values.length === 0 ? {} : { rate: passes / values.length };
    return { ...rate, passes, fails: values.length - passes };
  },
  trend: (values, _seconds, stats) => Object.fromEntries(stats.map((stat) => [stat, statOf(values, stat)])),
};

/** Percentiles lie between samples, on the line from one to the next. */
function statOf(unsorted, stat) {
  const values = [...unsorted].sort((a, b) => a - b);
  const percentile = stat === "med" ? 50 : Number(/^p\((.+)\)$/.exec(stat)?.[1]);
  if (values.length === 0) return 0;
  if (stat === "count") return values.length;
  if (stat === "avg") return values.reduce((sum, value) => sum + value, 0) / values.length;
  if (stat === "min") return values[0];
  if (stat === "max") return values.at(-1);
  const place = (percentile / 100) * (values.length - 1);
  const below = Math.floor(place);
  const next = values[below + 1] ?? values[below];
  return values[below] + (next - values[below]) * (place - below);
}

/** The `metrics` of a summary: those that have samples, and all that have a threshold. */
export function metricsOf({ samples, declared, thresholds, seconds, stats }) {
  const types = { ...OWN, ...Object.fromEntries(declared.map(({ name, type }) => [name, type])) };
  const unknown = Object.keys(thresholds).filter((metric) => types[baseOf(metric)] === undefined);
  if (unknown.length > 0) throw new Error(`There is no metric for the thresholds on ${unknown.join(", ")}`);
  const names = new Set([...samples.map(([name]) => name), ...Object.keys(thresholds)]);
  return Object.fromEntries(
    [...names]
      .filter((name) => types[baseOf(name)] !== undefined)
      .map((name) => {
        const type = types[baseOf(name)];
        const values = samplesOf(samples, name).map(([, value]) => value);
        const judged = judge(thresholds[name] ?? [], type, values, seconds);
        const contains = type === "trend" ? "time" : "default";
        const metric = { type, contains, values: FIGURES[type](values, seconds, stats) };
        return [name, thresholds[name] === undefined ? metric : { ...metric, thresholds: judged }];
      }),
  );
}

const baseOf = (name) => name.replace(/\{.*$/, "");

/** `claims{kind:empty}` are those samples of `claims` that have the tag. */
function samplesOf(samples, name) {
  const wanted = /\{(.+)\}$/.exec(name)?.[1].split(",") ?? [];
  const pairs = wanted.map((pair) => [pair.slice(0, pair.indexOf(":")), pair.slice(pair.indexOf(":") + 1)]);
  return samples.filter(
    ([of, , tags]) => of === baseOf(name) && pairs.every(([tag, value]) => tags[tag] === value),
  );
}

/** By its expression, whether it holds; on a rate of nothing every threshold does. */
function judge(expressions, type, values, seconds) {
  return Object.fromEntries(
    expressions.map((expression) => {
      const [, stat, sign, bound] = /^([\w().]+)\s*(<=|>=|<|>|==|!=)\s*([\d.]+)$/.exec(expression) ?? [];
      if (stat === undefined) throw new Error(`Not a threshold: ${expression}`);
      const figure = FIGURES[type](values, seconds, [stat])[stat];
      if (figure === undefined && type !== "rate") throw new Error(`A ${type} has no ${stat}: ${expression}`);
      return [expression, { ok: figure === undefined || holds(figure, sign, Number(bound)) }];
    }),
  );
}

function holds(figure, sign, bound) {
  if (sign === "<") return figure < bound;
  if (sign === "<=") return figure <= bound;
  if (sign === ">") return figure > bound;
  if (sign === ">=") return figure >= bound;
  return (sign === "==") === (figure === bound);
}
