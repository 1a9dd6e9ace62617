import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import { type Config, tlsOf } from "../config.ts";
import type { Diagnosis, Look } from "../lab/doctor/diagnosis.ts";
import { examine, type Target } from "../lab/doctor/doctor.ts";
import { type Colour, type Finding, worse } from "../lab/doctor/finding.ts";
import { roundTripText } from "../lab/doctor/round-trips.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import type { Output } from "./output.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";
import { type Column, table } from "./table.ts";

/** `dibs doctor`: what is wrong with a server, a Redis or a folder, and what to do about it. */

interface DoctorFlags extends SessionFlags {
  readonly interval?: number;
  readonly watch?: boolean;
  readonly count?: number;
  readonly strict?: boolean;
}

/** Long enough for a P99 of round trips; each interval of a history is that of `redis-cli --latency-history`. */
const ONE_LOOK_S = 3;
const INTERVAL_S = 15;

export function addDoctor(dibs: Command): void {
  const command = dibs
    .command("doctor [place]")
    .summary("examine a server, a Redis or a folder: what is wrong, and what to do")
    .description(
      "Examines a server (http://…), a Redis (redis://…, rediss://…, redis+cluster://…, redis+sentinel://…) or the " +
        "folder of an embedded store, also while a server has it open. Each line is green, yellow or red, with what was " +
        "found, what it should be, and what to do. Reads only; what it must write to measure is its own and gone at the " +
        "end. Without a place: the server of --url.",
    )
    .option(
      "-i, --interval <seconds>",
      `how long round trips are measured, 1 to 3600 (default: ${ONE_LOOK_S}; with --watch ${INTERVAL_S} for each look, as redis-cli --latency-history)`,
      seconds,
    )
    .option(
      "--watch",
      "look again and again until Ctrl-C: a line of history for each look, and what has changed",
    )
    .option("--count <number>", "with --watch: end after so many looks", looks)
    .option("--strict", "yellow fails too")
    .action((place: string | undefined, flags: DoctorFlags) => {
      const { strict, ...others } = flags;
      return perform(
        { ...others, ...placeFlags(place, flags) },
        (session) => run(session, place, { ...others, strict: strict === true }),
        { graceful: true },
      );
    });
  withHelp(
    withSettings(command, [
      "url",
      "token",
      "prefix",
      "redisConnections",
      "redisTlsCa",
      "redisTlsCert",
      "redisTlsKey",
      "tasksMax",
    ]),
    [
      "dibs doctor",
      "dibs doctor redis://127.0.0.1:6379",
      "dibs doctor ./data --json",
      "dibs doctor redis+cluster://10.0.0.1:7000,10.0.0.2:7000 --watch -i 15",
    ],
    "0 nothing is red (with --strict: nothing is yellow either), 1 something is",
  );
}

/** The place is a setting too, so that it is checked, and the flags beside it, like any other. */
function placeFlags(place: string | undefined, { url }: DoctorFlags): SessionFlags {
  if (place === undefined) return {};
  if (url !== undefined) throw new UsageError("The place and --url name two places: give one of them");
  if (/^https?:\/\//i.test(place)) return { url: place };
  if (place === "memory:") throw new UsageError("memory: ends with its process: there is nothing to examine");
  return { store: /^file:/i.test(place) ? fileURLToPath(place) : place };
}

type RunFlags = Omit<DoctorFlags, "strict"> & { readonly strict: boolean };

async function run(session: Session, place: string | undefined, flags: RunFlags): Promise<ExitCode> {
  const target = targetOf(place, session.config);
  if (flags.count !== undefined && flags.watch !== true) throw new UsageError("--count belongs to --watch");
  const { output, signal } = session;
  const look: Look = {
    forMs: (flags.interval ?? (flags.watch ? INTERVAL_S : ONE_LOOK_S)) * 1_000,
    signal,
    onStep: (step) => output.progress(`${step} …`),
  };
  const first = await examine(target, look);
  output.emit(first);
  showAll(output, first);
  const colour = flags.watch ? await watch(output, target, look, first, flags.count) : first.colour;
  if (signal.aborted) {
    output.note("Interrupted: the last look is not whole.");
    return EXIT.interrupted;
  }
  return colour === "red" || (flags.strict && colour === "yellow") ? EXIT.failed : EXIT.done;
}

/** Looks again until it is enough; the colour of the worst look. */
async function watch(
  output: Output,
  target: Target,
  look: Look,
  first: Diagnosis,
  count = Number.POSITIVE_INFINITY,
): Promise<Colour> {
  let before = first;
  let worst = first.colour;
  showHistory(output, first);
  for (let n = 1; n < count && !look.signal.aborted; n += 1) {
    const now = await examine(target, look);
    output.emit(now);
    showHistory(output, now);
    showFindings(output, changed(before, now));
    worst = worse(worst, now.colour);
    before = now;
  }
  return worst;
}

function targetOf(place: string | undefined, config: Config): Target {
  const { url, token, store, prefix, redisConnections: connections, tasksMax } = config;
  if (place === undefined || /^https?:\/\//i.test(place))
    return { kind: "server", url: new URL(url), ...(token !== undefined && { token }) };
  if (store.kind === "redis") {
    const tls = tlsOf(config);
    return { kind: "redis", url: store.url, prefix, connections, ...(tls !== undefined && { tls }) };
  }
  const folder = resolve(place);
  if (!existsSync(folder)) throw new UsageError(`There is no store at ${folder}`);
  return { kind: "folder", folder, tasksMax };
}

const COLUMNS: readonly Column<Finding>[] = [
  { title: "", value: ({ colour }) => colour },
  { title: "CHECK", value: ({ check }) => check },
  { title: "WHERE", value: ({ where }) => where, flexible: true },
  { title: "FOUND", value: ({ figure }) => figure },
  { title: "SHOULD BE", value: ({ bound }) => bound, flexible: true },
];

function showAll(output: Output, { place, findings }: Diagnosis): void {
  output.endProgress();
  output.print(output.styled("bold", `Dibs doctor: ${place}`));
  showFindings(output, findings);
  const count = (colour: Colour) => findings.filter((finding) => finding.colour === colour).length;
  output.print(`${count("red")} red, ${count("yellow")} yellow, ${count("green")} green`);
}

/** Each line in its colour, and what to do below it. */
function showFindings(output: Output, findings: readonly Finding[]): void {
  if (findings.length === 0) return;
  const [titles, ...lines] = table(COLUMNS, findings, process.stdout.columns || undefined);
  output.print(output.styled("bold", titles as string));
  for (const [at, { colour, advice }] of findings.entries()) {
    output.print(output.styled(colour, lines[at] as string));
    if (advice !== undefined) output.print(`        → ${advice}`);
  }
}

function showHistory(output: Output, { roundTrips }: Diagnosis): void {
  for (const trips of roundTrips)
    output.print(
      `${new Date(trips.at).toISOString().slice(11, 19)}  ${trips.where}  ${roundTripText(trips)}`,
    );
}

/** Lines that are new, or have changed their colour. */
function changed(before: Diagnosis, now: Diagnosis): Finding[] {
  const colours = new Map(before.findings.map(({ check, where, colour }) => [`${check} ${where}`, colour]));
  return now.findings.filter(({ check, where, colour }) => colours.get(`${check} ${where}`) !== colour);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value <= 3_600)) throw new InvalidArgumentError("Expected seconds from 1 to 3600.");
  return value;
}

function looks(text: string): number {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1))
    throw new InvalidArgumentError("Expected a whole number from 1.");
  return value;
}
