import { existsSync } from "node:fs";
import { access, constants, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { tlsOf } from "../config.ts";
import type { BenchPlace } from "../lab/bench/place.ts";
import type { Profiled } from "../lab/profile/profile.ts";
import type { ProfileSettings } from "../lab/profile/profile-report.ts";
import { CommandFailed, EXIT, type ExitCode, UsageError } from "./exit.ts";
import { wholeNumber, withHelp, withSettings } from "./flags.ts";
import { showProfile, titleOf } from "./profile/view.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs profile claim`: where the time of a claim goes here. */

interface ProfileFlags extends SessionFlags {
  readonly serve?: boolean;
  readonly seconds: number;
  readonly concurrency: number;
  readonly depth: number;
  readonly payloadBytes: number;
  readonly save?: string;
}

export function addProfile(dibs: Command): void {
  const profile = dibs.command("profile").summary("see where the time of a claim goes here");
  const command = profile
    .command("claim [place]")
    .summary("split a claim's time into its parts, with flame graphs and Redis's side")
    .description(
      "Claims for a while and says where the time goes: client, socket, HTTP, validation, waiting in the broker, storage, " +
        "script, garbage collection, and what none of them covers. The place is a folder (for a scratch folder in it), memory: " +
        "or redis://…; without one it is a temporary folder. The tasks are the profile's own and removed at the end, also " +
        "after Ctrl-C.",
    )
    .option("--serve", "over HTTP, through a server of its own in another process")
    .option("--seconds <s>", "length of each of the three stretches, 0.2 to 600", seconds, 5)
    .option("-c, --concurrency <n>", "callers at a time, 1 to 1000", within(1, 1_000), 10)
    .option("--depth <n>", "tasks that wait in the queue", within(0, 5_000_000), 1_000)
    .option("--payload-bytes <n>", "size of a payload, 100 to 1048576", within(100, 1_048_576), 213)
    .option("--save <folder>", "keep the report, the profiles for viewers and the flame graphs there")
    .action((place: string | undefined, flags: ProfileFlags) =>
      perform(
        { ...flags, store: isServer(place) ? "." : (place ?? ".") },
        (session) => run(session, place, flags),
        {
          graceful: true,
        },
      ),
    );
  withHelp(
    withSettings(command, ["durability", "redisConnections", "redisTlsCa", "redisTlsCert", "redisTlsKey"]),
    [
      "dibs profile claim",
      "dibs profile claim redis://127.0.0.1:6379 --serve -c 50 --save profile",
      "dibs profile claim memory: --seconds 2 --json",
    ],
    "0 profiled, 1 the claims failed, 130 interrupted: what was measured until then is told",
  );
}

function isServer(place: string | undefined): boolean {
  return place !== undefined && /^https?:/i.test(place);
}

async function run(session: Session, where: string | undefined, flags: ProfileFlags): Promise<ExitCode> {
  const { output, signal } = session;
  if (isServer(where))
    throw new UsageError(
      `The process behind ${where} cannot be looked into from here: name the place of its tasks, with --serve for a server of the profile's own`,
    );
  const folder = await folderFor(flags);
  try {
    // Told only when all is removed: whoever reads the first lines alone, as `head` does, ends this process with that.
    const profiled = await atPlace(session, where, flags, folder.path);
    if (profiled !== undefined) {
      output.emit(profiled.report);
      showProfile(output, profiled.report);
      if (flags.save !== undefined) await keep(folder.path, profiled, output);
    } else output.note("Interrupted before anything was traced.");
    return signal.aborted ? EXIT.interrupted : EXIT.done;
  } finally {
    await folder.forget();
  }
}

async function atPlace(
  session: Session,
  where: string | undefined,
  flags: ProfileFlags,
  folder: string,
): Promise<Profiled | undefined> {
  const { output, signal } = session;
  const place = await open(session, where, flags);
  const onSignal = () =>
    output.note("\nStopping; once more exits at once and leaves the scratch data behind.");
  signal.addEventListener("abort", onSignal, { once: true });
  try {
    return await measure(session, place, where, flags, folder);
  } catch (error) {
    throw explained(error);
  } finally {
    output.endProgress();
    signal.removeEventListener("abort", onSignal);
    await place
      .close()
      .catch((error: Error) => output.warn(`Not everything could be removed: ${error.message}`));
  }
}

async function measure(
  { output, signal, config }: Session,
  place: BenchPlace,
  where: string | undefined,
  { seconds, concurrency, depth, payloadBytes }: ProfileFlags,
  folder: string,
): Promise<Profiled | undefined> {
  const [{ profileClaims }, { RedisSide }] = await Promise.all([
    import("../lab/profile/profile.ts"),
    import("../lab/profile/redis-side.ts"),
  ]);
  const settings: ProfileSettings = { seconds, concurrency, depth, payloadBytes };
  const tls = tlsOf(config);
  const redis =
    place.redis === undefined || where === undefined
      ? undefined
      : await RedisSide.open({ url: where, ...(tls !== undefined && { tls }) });
  try {
    output.note(titleOf(place.engine, settings));
    return await profileClaims(place, {
      settings,
      cpuFile: join(folder, FILES.cpu),
      redis,
      signal,
      onProgress: (step, done) => output.progress(`${step}: ${Math.floor(100 * done)} %`),
    });
  } finally {
    await redis?.close();
  }
}

function open(
  { config, output }: Session,
  where: string | undefined,
  flags: ProfileFlags,
): Promise<BenchPlace> {
  const tls = tlsOf(config);
  return import("../lab/bench/place.ts").then(({ openPlace }) =>
    openPlace({
      ...(where !== undefined && { place: where }),
      serve: flags.serve === true,
      durability: config.durability,
      connections: config.redisConnections,
      ...(tls !== undefined && { tls }),
      timeoutMs: 5_000,
      onWarning: (text) => output.warn(text),
    }),
  );
}

const FILES = {
  report: "report.json",
  cpu: "claim.cpuprofile",
  allocations: "claim.heapprofile",
  flames: "flames.html",
} as const;

/** Where files are kept. Says before the seconds of measuring, and not after them, that nothing can be written there. */
async function folderFor({
  save,
}: ProfileFlags): Promise<{ readonly path: string; forget(): Promise<void> }> {
  if (save === undefined) {
    const path = await mkdtemp(join(tmpdir(), "dibs-profile-"));
    return { path, forget: () => rm(path, { recursive: true, force: true }) };
  }
  try {
    if (!existsSync(save)) await mkdir(save);
    await access(save, constants.W_OK);
  } catch (error) {
    throw new UsageError(`Nothing can be kept there: ${(error as Error).message}`);
  }
  return { path: save, forget: async () => {} };
}

async function keep(folder: string, { report, samples }: Profiled, output: Session["output"]): Promise<void> {
  const kept: string[] = [FILES.report];
  await writeFile(join(folder, FILES.report), `${JSON.stringify(report, null, 1)}\n`);
  if (samples !== undefined) {
    const { flamePage } = await import("../lab/profile/flame-page.ts");
    await writeFile(join(folder, FILES.allocations), JSON.stringify(samples.allocationProfile));
    await writeFile(join(folder, FILES.flames), flamePage(report, samples));
    kept.push(FILES.flames, FILES.cpu, FILES.allocations);
  }
  output.note(`Kept in ${folder}: ${kept.join(", ")}`);
}

function within(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

function seconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0.2 && value <= 600) return value;
  throw new InvalidArgumentError("Expected 0.2 to 600 seconds.");
}

/** What stopped the claims, without a stack; faults of ours keep theirs. */
function explained(error: unknown): unknown {
  const isExpected =
    error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError);
  return isExpected ? new CommandFailed(`Nothing was profiled: ${error.message}`, { cause: error }) : error;
}
