import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import type { RunFigures } from "./figures.ts";
import type { Reading } from "./reading.ts";

/** The part of what the scripts in `loadtest/k6/` write that is compared; docs/k6.md has all of it. */
const amount = Type.Number({ minimum: 0 });
const Latency = Type.Object({ p50Ns: amount, p95Ns: amount, p99Ns: amount });
const Stretch = { operations: amount, perSecond: amount, latencies: Type.Object({ claim: Latency }) };
const Summary = Type.Object({
  format: Type.Literal("dibs-k6-summary"),
  version: Type.Literal(1),
  script: Type.String(),
  protocol: Type.Union([Type.String(), Type.Null()]),
  vus: amount,
  errors: amount,
  tasks: Type.Object({ lost: Type.Union([Type.Number(), Type.Null()]) }),
  ...Stretch,
  slices: Type.Array(Type.Object(Stretch)),
});
type Summary = Static<typeof Summary>;

const validator = Compile(Summary);

export function isK6(value: unknown): boolean {
  return (value as { format?: unknown } | null)?.format === "dibs-k6-summary";
}

/** What a run of a script wrote. @throws {Error} that names each wrong field. */
export function readK6(value: unknown): Reading {
  const summary = checkSummary(value);
  const { script, vus, protocol, slices } = summary;
  const errors = summary.errors + Math.max(0, summary.tasks.lost ?? 0);
  return {
    // Errors are counted for the whole run: the first tenth has them all.
    runs: slices.map((slice, place) => ({ ...figuresOf(slice), errors: place === 0 ? errors : 0 })),
    whole: { ...figuresOf(summary), errors },
    machine: {},
    versions: { protocol },
    settings: { measured: `k6 ${script}`, users: vus },
    commit: null,
    notes: ["k6 does not say on which machine it ran"],
  };
}

function checkSummary(value: unknown): Summary {
  if (validator.Check(value)) return value;
  const faults = validator
    .Errors(value)
    .map(({ instancePath, message }) => `${instancePath || "/"} ${message}`);
  throw new Error(`Not a summary of loadtest/k6: ${faults.join("; ")}`);
}

function figuresOf({
  operations,
  perSecond,
  latencies: { claim },
}: Pick<Summary, "operations" | "perSecond" | "latencies">): Omit<RunFigures, "errors"> {
  return {
    p50Ms: claim.p50Ns / 1e6,
    p95Ms: claim.p95Ns / 1e6,
    p99Ms: claim.p99Ns / 1e6,
    perSecond,
    operations,
  };
}
