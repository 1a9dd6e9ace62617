import {
  latencyNs,
  type Measure,
  medianOfSeries,
  perSecond,
  ratioOf,
  type Series,
  spreadOfSeries,
  value,
} from "../run.ts";
import type { Spread } from "../statistics.ts";
import type { Factor, LadderRow, ReadRow, Standing } from "./ladder-report.ts";
import type { ReadLoad } from "./reads.ts";
import type { Rung } from "./rung.ts";
import { product, productBatches } from "./rungs/product.ts";
import { productWorker } from "./rungs/product-worker.ts";
import { baselineOf } from "./rungs.ts";

/** From the series of one cell, a depth and a concurrency, to what the report says of it. */

const claimP50 = latencyNs("claim", 50);
const claimP99 = latencyNs("claim", 99);
const cycleP50 = latencyNs("cycle", 50);
const readMean: Measure = ({ latencies }) => latencies?.["read"]?.meanNs ?? Number.NaN;

export function rowsOf(
  rungs: readonly Rung[],
  series: readonly Series[],
  depth: number,
  callers: number,
): LadderRow[] {
  return rungs.map((rung, at) => {
    const own = series[at] as Series;
    const over = baselineOf(rung);
    const baseline = series.find(({ name }) => name === over);
    return {
      rung: rung.name,
      depth,
      callers,
      p50Ns: spreadOfSeries(own, claimP50),
      p99Ns: spreadOfSeries(own, claimP99),
      cycleP50Ns: spreadOfSeries(own, cycleP50),
      tasksPerSecond: spreadOfSeries(own, perSecond),
      roundTrips: medianOfSeries(own, value("roundTrips")),
      redisCalls: medianOfSeries(own, value("redisCalls")),
      serverUs: medianOfSeries(own, value("serverUs")),
      serverCpuUs: medianOfSeries(own, value("serverCpuUs")),
      clientCpuUs: medianOfSeries(own, value("clientCpuUs")),
      claimed: total(own, ({ delivery }) => delivery?.claimed ?? 0),
      empty: total(own, value("empty")),
      again: total(own, value("again")),
      lost: total(own, ({ delivery }) => delivery?.faults.lost ?? 0),
      factor: baseline === undefined ? null : factorOf(own, baseline),
    };
  });
}

function factorOf(own: Series, baseline: Series): Factor {
  return {
    over: baseline.name,
    p50: spread(own, baseline, claimP50),
    p99: spread(own, baseline, claimP99),
    tasksPerSecond: spread(own, baseline, perSecond),
  };
}

const PRODUCTS: readonly Rung[] = [product, productBatches, productWorker];

/** The product beside what is best of all others that promise as much about doubles, and claim as many at a time. */
export function standingsOf(
  rungs: readonly Rung[],
  series: readonly Series[],
  depth: number,
  callers: number,
): Standing[] {
  return PRODUCTS.flatMap((mine) => {
    const own = series[rungs.indexOf(mine)];
    const others = series.filter((_, at) => {
      const rung = rungs[at] as Rung;
      return !PRODUCTS.includes(rung) && rung.isSafe && rung.batch === mine.batch;
    });
    if (own === undefined || others.length === 0) return [];
    const beside = (measure: Measure, sign: 1 | -1) => {
      const [best] = [...others].sort(
        (a, b) => sign * (medianOfSeries(a, measure) - medianOfSeries(b, measure)),
      ) as [Series];
      return { best: best.name, factor: spread(own, best, measure) };
    };
    return {
      product: mine.name,
      depth,
      callers,
      cycle: beside(cycleP50, 1),
      tasksPerSecond: beside(perSecond, -1),
    };
  });
}

/** What the safe rungs promised and did not keep. */
export function faultsOf(
  rungs: readonly Rung[],
  series: readonly Series[],
  depth: number,
  callers: number,
): string[] {
  return rungs.flatMap((rung, at) => {
    if (!rung.isSafe) return [];
    const audits = (series[at] as Series).repetitions.flatMap(({ delivery }) => delivery ?? []);
    return audits
      .filter(({ exact }) => !exact)
      .map(({ faults, controlCaught }) => {
        const found = Object.entries(faults).filter(([, count]) => count > 0);
        const said = found.map(([name, count]) => `${name} ${count}`).join(", ");
        const what =
          said !== ""
            ? said
            : controlCaught
              ? ""
              : "nothing was claimed, or the audit missed a planted fault";
        return `${rung.name} at ${depth} pending and ${callers} callers promised no doubles and no losses: ${what}`;
      });
  });
}

export function readRowsOf(
  loads: readonly Pick<ReadLoad, "readsAWrite" | "cache">[],
  series: readonly Series[],
  callers: number,
): ReadRow[] {
  return loads.map(({ readsAWrite, cache }, at) => {
    const own = series[at] as Series;
    const off = series[
      loads.findIndex((load) => load.readsAWrite === readsAWrite && load.cache === "off")
    ] as Series;
    return {
      readsAWrite,
      cache,
      callers,
      readMeanNs: spreadOfSeries(own, readMean),
      readP50Ns: spreadOfSeries(own, latencyNs("read", 50)),
      readP99Ns: spreadOfSeries(own, latencyNs("read", 99)),
      callsPerSecond: spreadOfSeries(own, perSecond),
      roundTrips: medianOfSeries(own, value("roundTrips")),
      serverCpuUs: medianOfSeries(own, value("serverCpuUs")),
      factor:
        cache === "off"
          ? null
          : { readMean: spread(own, off, readMean), callsPerSecond: spread(own, off, perSecond) },
    };
  });
}

function spread(own: Series, baseline: Series, measure: Measure): Spread {
  const { median, min, max } = ratioOf(own, baseline, measure);
  return { median, min, max };
}

function total(series: Series, measure: Measure): number {
  return series.repetitions.reduce((sum, repetition) => sum + measure(repetition), 0);
}
