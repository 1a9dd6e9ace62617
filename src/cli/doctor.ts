import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import { type Config, memoryBoundOf, tlsOf } from "../config.ts";
import type { Look } from "../lab/doctor/diagnosis.ts";
import type { Target } from "../lab/doctor/doctor.ts";
import { worse } from "../lab/doctor/finding.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

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
      "memoryBytesMax",
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
  if (place === undefined || url !== undefined) return {};
  if (isHttp(place)) return { url: place };
  return isKnown(place) ? { store: /^file:/i.test(place) ? fileURLToPath(place) : place } : {};
}

function isHttp(place: string): boolean {
  return /^https?:\/\//i.test(place);
}

/** A folder, memory, or the address of a Redis, right or wrong as the rest of it may be. */
function isKnown(place: string): boolean {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(place)?.[1];
  return scheme === undefined || /^(file|memory|(redis|valkey)s?([+-](cluster|sentinel))?)$/i.test(scheme);
}

function refuseTwoPlaces(place: string | undefined, { url, count, watch }: RunFlags): void {
  if (place !== undefined && url !== undefined)
    throw new UsageError("The place and --url name two places: give one of them");
  if (count !== undefined && watch !== true) throw new UsageError("--count belongs to --watch");
}

type RunFlags = Omit<DoctorFlags, "strict"> & { readonly strict: boolean };

async function run(session: Session, place: string | undefined, flags: RunFlags): Promise<ExitCode> {
  refuseTwoPlaces(place, flags);
  const target = targetOf(place, session.config);
  // Loaded when it is asked for: no other command needs it.
  const [{ examine }, shows] = await Promise.all([
    import("../lab/doctor/doctor.ts"),
    import("./doctor-show.ts"),
  ]);
  const { output, signal } = session;
  const look: Look = {
    forMs: (flags.interval ?? (flags.watch ? INTERVAL_S : ONE_LOOK_S)) * 1_000,
    signal,
    onStep: (step) => output.progress(`${step} …`),
  };
  let last = await examine(target, look);
  let colour = last.colour;
  output.emit(last);
  shows.showAll(output, last);
  if (flags.watch) shows.showHistory(output, last);
  const count = flags.watch ? (flags.count ?? Number.POSITIVE_INFINITY) : 1;
  for (let n = 1; n < count && !signal.aborted; n += 1) {
    const now = await examine(target, look);
    output.emit(now);
    shows.showHistory(output, now);
    shows.showFindings(output, shows.changed(last, now));
    colour = worse(colour, now.colour);
    last = now;
  }
  if (signal.aborted) {
    output.note("Interrupted: the last look is not whole.");
    return EXIT.interrupted;
  }
  return colour === "red" || (flags.strict && colour === "yellow") ? EXIT.failed : EXIT.done;
}

function targetOf(place: string | undefined, config: Config): Target {
  // The rest of such an address may hold a password, so only its scheme is shown.
  if (place !== undefined && !isHttp(place) && !isKnown(place))
    throw new UsageError(
      `Expected the place to be http://…, redis://… or a folder, got ${/^[^:]*/.exec(place)?.[0]}:…`,
    );
  const { url, token, store, prefix, redisConnections: connections, tasksMax } = config;
  if (place === undefined || isHttp(place))
    return { kind: "server", url: new URL(url), ...(token !== undefined && { token }) };
  if (store.kind === "redis") {
    const tls = tlsOf(config);
    return { kind: "redis", url: store.url, prefix, connections, ...(tls !== undefined && { tls }) };
  }
  if (store.kind === "memory")
    throw new UsageError("memory: ends with its process: there is nothing to examine");
  const folder = resolve(store.folder);
  if (!existsSync(folder)) throw new UsageError(`There is no store at ${folder}`);
  return { kind: "folder", folder, tasksMax, ...memoryBoundOf(config) };
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
