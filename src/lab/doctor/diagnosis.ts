import { type Colour, type Finding, worstOf } from "./finding.ts";
import type { RoundTrips } from "./round-trips.ts";

/** What one look at a place has shown. */
export interface Diagnosis {
  /** Without secrets. */
  readonly place: string;
  readonly kind: "server" | "redis" | "folder";
  /** When the look began, epoch milliseconds. */
  readonly at: number;
  /** Of the worst line. */
  readonly colour: Colour;
  readonly findings: readonly Finding[];
  /** One for each server that was asked. */
  readonly roundTrips: readonly RoundTrips[];
}

export function diagnosisOf(
  { place, kind, at }: Pick<Diagnosis, "place" | "kind" | "at">,
  findings: readonly Finding[],
  roundTrips: readonly RoundTrips[] = [],
): Diagnosis {
  return { place, kind, at, colour: worstOf(findings), findings, roundTrips };
}

/** How a look is taken. */
export interface Look {
  /** How long round trips, this process and this machine are measured. */
  readonly forMs: number;
  /** Ends the measuring; what was seen until then is reported. */
  readonly signal: AbortSignal;
  /** Told what is being done, for a progress line. */
  readonly onStep: (step: string) => void;
}
