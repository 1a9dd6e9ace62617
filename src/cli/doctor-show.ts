import type { Diagnosis } from "../lab/doctor/diagnosis.ts";
import type { Colour, Finding } from "../lab/doctor/finding.ts";
import { roundTripText } from "../lab/doctor/round-trips.ts";
import type { Output } from "./output.ts";
import { type Column, plain, table } from "./table.ts";

/** How a diagnosis looks on a terminal. */

const COLUMNS: readonly Column<Finding>[] = [
  { title: "", value: ({ colour }) => colour },
  { title: "CHECK", value: ({ check }) => check },
  { title: "WHERE", value: ({ where }) => where, flexible: true },
  { title: "FOUND", value: ({ figure }) => figure },
  { title: "SHOULD BE", value: ({ bound }) => bound, flexible: true },
];

export function showAll(output: Output, { place, findings }: Diagnosis): void {
  output.endProgress();
  output.print(output.styled("bold", `Dibs doctor: ${place}`));
  showFindings(output, findings);
  const count = (colour: Colour) => findings.filter((finding) => finding.colour === colour).length;
  output.print(`${count("red")} red, ${count("yellow")} yellow, ${count("green")} green`);
}

/** Each line in its colour, and what to do below it. */
export function showFindings(output: Output, findings: readonly Finding[]): void {
  if (findings.length === 0) return;
  const [titles, ...lines] = table(COLUMNS, findings, process.stdout.columns || undefined);
  output.print(output.styled("bold", titles as string));
  for (const [at, { colour, advice }] of findings.entries()) {
    output.print(output.styled(colour, lines[at] as string));
    // What it says may come from a server, or name files.
    if (advice !== undefined) output.print(`        → ${advice.split("\n").map(plain).join("\n          ")}`);
  }
}

/** One line for each server that was asked; for a folder how quick its disk was. */
export function showHistory(output: Output, { at, place, colour, findings, roundTrips }: Diagnosis): void {
  const time = (ms: number) => new Date(ms).toISOString().slice(11, 19);
  for (const trips of roundTrips) output.print(`${time(trips.at)}  ${trips.where}  ${roundTripText(trips)}`);
  if (roundTrips.length > 0) return;
  const sync = findings.find(({ check }) => check === "disk sync");
  output.print(`${time(at)}  ${place}  ${sync === undefined ? colour : `disk sync ${sync.figure}`}`);
}

/** Lines that are new, or have changed their colour. */
export function changed(before: Diagnosis, now: Diagnosis): Finding[] {
  const colours = new Map(before.findings.map(({ check, where, colour }) => [`${check} ${where}`, colour]));
  return now.findings.filter(({ check, where, colour }) => colours.get(`${check} ${where}`) !== colour);
}
