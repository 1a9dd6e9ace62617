import { type Command, InvalidArgumentError } from "commander";
import { tlsOf } from "../config.ts";
import type { LabRedis } from "../lab/ladder/lab-redis.ts";
import type { LadderProgress } from "../lab/ladder/ladder.ts";
import type { LadderReport, LadderRow } from "../lab/ladder/ladder-report.ts";
import type { LadderColumn } from "../lab/ladder/ladder-words.ts";
import type { Rung } from "../lab/ladder/rung.ts";
import { agreed } from "./ask.ts";
import { CommandFailed, EXIT, type ExitCode, UsageError } from "./exit.ts";
import { wholeNumber, withHelp, withSettings } from "./flags.ts";
import { count, duration } from "./format.ts";
import type { Output } from "./output.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs ladder`: what each step from a naive claim to Dibs brings, measured on a real Redis. */

interface LadderFlags extends SessionFlags {
  readonly store?: string;
  readonly depth?: readonly number[];
  readonly callers?: readonly number[];
  readonly repeats?: number;
  readonly seconds?: number;
  readonly rungs?: readonly string[];
  readonly reads: boolean;
  readonly quick?: boolean;
  readonly save?: string;
  readonly into?: string;
  readonly yes?: boolean;
}

/** As the documents have it, and so short that one sees what there is. */
const FULL = { depth: [1_000, 100_000], callers: [1, 10, 50, 200], repeats: 3, seconds: 1 };
const QUICK = { depth: [1_000], callers: [1, 50], repeats: 3, seconds: 0.1 };
const REPEATS_MIN = 3;

export function addLadder(dibs: Command): void {
  const command = dibs
    .command("ladder")
    .summary("what each step from a naive claim to Dibs brings, on a real Redis")
    .description(
      "Climbs from SCAN and HGET over scripts, sorted sets, lists, batches, merging and fusing to Dibs itself: measures " +
        "each way to claim tasks, in turn, on one Redis, and counts what was handed out twice or lost. Some of the lower " +
        "rungs do hand out twice: that is what they show. Starts a redis-server (or valkey-server) of its own, or takes " +
        "the one of --store, where it touches nothing but keys of its own.",
    )
    .option("--store <url>", "a Redis that runs: redis://… (default: one is started, nothing of it kept)")
    .option("--depth <list>", `tasks that wait (default: ${FULL.depth.join(",")})`, numbers(1, 1_000_000))
    .option("--callers <list>", `callers at once (default: ${FULL.callers.join(",")})`, numbers(1, 1_000))
    .option("--repeats <number>", `trials of each rung in each cell (default: ${FULL.repeats})`, atLeastThree)
    .option("--seconds <seconds>", `measured in each trial (default: ${FULL.seconds})`, seconds)
    .option("--rungs <list>", "only these, and what they are compared with (default: all)", words)
    .option("--no-reads", "leave out the reads by id, with the cache off and on")
    .option("--quick", "one depth, two concurrencies, short trials: to look at, not to quote")
    .option("--save <path>", "write the report to <path>.json, .svg and .md")
    .option("--into <file>", "write it into a Markdown file too, between the ladder's two comments there")
    .option("--yes", "do not ask before loading a Redis that holds keys of others")
    .action((flags: LadderFlags) => perform(flags, (session) => run(session, flags), { graceful: true }));
  withHelp(
    withSettings(command, ["redisTlsCa", "redisTlsCert", "redisTlsKey"]),
    [
      "dibs ladder --quick",
      "dibs ladder --store redis://127.0.0.1:6379 --callers 1,50 --depth 1000",
      "dibs ladder --rungs lists,merged,fused,dibs",
      "dibs ladder --save docs/reports/ladder --into docs/latency.md",
    ],
    "0 measured, 1 a rung handed out twice or lost what it promised not to, 130 interrupted: what was finished is told",
  );
}

async function run(session: Session, flags: LadderFlags): Promise<ExitCode> {
  const { NoRedisError, OwnRedis } = await import("../lab/ladder/own-redis.ts");
  const { checkFiles } = await import("../lab/ladder/ladder-files.ts");
  const rungs = await chosen(flags.rungs);
  await checkFiles(flags);
  if (flags.store !== undefined) return onRedis(session, flags, rungs, flags.store);
  try {
    const own = await OwnRedis.start();
    try {
      return await onRedis(session, { ...flags, yes: true }, rungs, own.url);
    } finally {
      await own.stop();
    }
  } catch (error) {
    throw error instanceof NoRedisError ? new CommandFailed(error.message) : error;
  }
}

async function onRedis(
  session: Session,
  flags: LadderFlags,
  rungs: readonly Rung[],
  url: string,
): Promise<ExitCode> {
  const { LabRedis } = await import("../lab/ladder/lab-redis.ts");
  const deepest = Math.max(...settingsOf(flags).depths);
  const redis = await LabRedis.open(url, deepest, tlsOf(session.config));
  try {
    if (!(await mayLoad(session, redis, flags))) {
      session.output.note("Nothing was measured.");
      return EXIT.failed;
    }
    return await climb(session, flags, rungs, redis);
  } finally {
    await letGo(session, redis);
  }
}

/** What went wrong before is told all the same when the Redis is not there any more to be cleared. */
async function letGo({ output }: Session, redis: LabRedis): Promise<void> {
  try {
    await redis.clear();
    await redis.close();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    output.warn(`Keys that begin with ${redis.prefix} could not be removed: ${why}`);
  }
}

async function mayLoad(session: Session, redis: LabRedis, { yes }: LadderFlags): Promise<boolean> {
  if (yes === true || redis.foreignKeys === 0) return true;
  const question = () =>
    `The Redis at ${redis.shown} holds ${count(redis.foreignKeys)} keys of others, who will have to wait while it is loaded ` +
    "fully. The ladder touches none of them. Climb there?";
  return agreed(
    session,
    question,
    `${redis.shown} holds ${count(redis.foreignKeys)} keys of others; add --yes to load it all the same`,
  );
}

async function climb(
  { output, signal }: Session,
  flags: LadderFlags,
  rungs: readonly Rung[],
  redis: LabRedis,
): Promise<ExitCode> {
  const [{ runLadder }, words] = await Promise.all([
    import("../lab/ladder/ladder.ts"),
    import("../lab/ladder/ladder-words.ts"),
  ]);
  const onSignal = () => {
    output.note("Stopping, and removing the ladder's keys; once more exits at once and leaves them there.");
  };
  signal.addEventListener("abort", onSignal, { once: true });
  output.note(`On ${redis.version} at ${redis.shown}. ${words.CLAIM_LEGEND}\n`);
  const report = await runLadder({
    ...settingsOf(flags),
    redis,
    rungs,
    reads: flags.reads,
    signal,
    onProgress: teller(output),
    onCell: (rows) => {
      output.endProgress();
      tellCell(output, words.cellName(rows[0] as LadderRow), words.CLAIM_COLUMNS, rows);
    },
  });
  output.endProgress();
  await tell(output, report);
  await keep(output, flags, report);
  if (!report.isComplete) return EXIT.interrupted;
  return report.faults.length > 0 ? EXIT.failed : EXIT.done;
}

function settingsOf({ depth, callers, repeats, seconds, quick }: LadderFlags) {
  const preset = quick === true ? QUICK : FULL;
  return {
    depths: depth ?? preset.depth,
    callers: callers ?? preset.callers,
    repeats: repeats ?? preset.repeats,
    seconds: seconds ?? preset.seconds,
  };
}

/** The rungs that were asked for, and those that they are compared with. */
async function chosen(names: readonly string[] | undefined): Promise<readonly Rung[]> {
  const { baselineOf, RUNGS } = await import("../lab/ladder/rungs.ts");
  if (names === undefined) return RUNGS;
  const wanted = new Set(names);
  const unknown = names.find((name) => !RUNGS.some((rung) => rung.name === name));
  if (unknown !== undefined)
    throw new UsageError(
      `There is no rung ${unknown}; the rungs are ${RUNGS.map(({ name }) => name).join(", ")}`,
    );
  for (const rung of RUNGS) if (names.includes(rung.name)) wanted.add(baselineOf(rung) ?? rung.name);
  return RUNGS.filter(({ name }) => wanted.has(name));
}

/** What runs, how far it is, and how long the rest will take when it goes on like that. */
function teller(output: Output): (progress: LadderProgress) => void {
  const startedAt = performance.now();
  return ({ trial, trials, what }) => {
    const done = trial - 1;
    const left =
      done < 1 ? "" : `, about ${duration(((performance.now() - startedAt) / done) * (trials - done))} left`;
    output.progress(`${trial} of ${trials}: ${what}${left}`);
  };
}

async function tell(output: Output, report: LadderReport): Promise<void> {
  const { READ_COLUMNS, sentencesOf } = await import("../lab/ladder/ladder-words.ts");
  output.emit(report);
  if (report.reads.length > 0) tellCell(output, "Reads by id, cache off and on", READ_COLUMNS, report.reads);
  for (const sentence of sentencesOf(report)) output.print(sentence);
  for (const fault of report.faults) output.warn(fault);
  if (!report.isComplete) output.note("Interrupted: only the cells that were finished are told.");
}

function tellCell<Row>(
  output: Output,
  name: string,
  columns: readonly LadderColumn<Row>[],
  rows: readonly Row[],
): void {
  output.print(name);
  output.table(
    columns.map(({ title, value }) => ({ title: title.toUpperCase(), value })),
    rows,
  );
  output.print("");
}

async function keep(output: Output, flags: LadderFlags, report: LadderReport): Promise<void> {
  const { writeFiles } = await import("../lab/ladder/ladder-files.ts");
  const files = {
    ...(flags.save !== undefined && { save: flags.save }),
    ...(flags.into !== undefined && { into: flags.into }),
  };
  const written = await writeFiles(report, files, commandOf(flags));
  if (written.length > 0) output.note(`Written: ${written.join(", ")}`);
}

/** The command line that makes the same report, without what names the server. */
function commandOf({
  quick,
  depth,
  callers,
  repeats,
  seconds,
  rungs,
  reads,
  save,
  into,
}: LadderFlags): string {
  const given: readonly (readonly [flag: string, value: unknown])[] = [
    ["--depth", depth],
    ["--callers", callers],
    ["--repeats", repeats],
    ["--seconds", seconds],
    ["--rungs", rungs],
    ["--save", save],
    ["--into", into],
  ];
  const said = given
    .filter(([, value]) => value !== undefined)
    .map(([flag, value]) => ` ${flag} ${String(value)}`);
  return `dibs ladder${quick === true ? " --quick" : ""}${said.join("")}${reads ? "" : " --no-reads"}`;
}

function numbers(min: number, max: number): (text: string) => readonly number[] {
  return (text) => {
    const values = text.split(",").map((part) => wholeNumber(part.trim()));
    if (values.every((value) => value >= min && value <= max)) return [...new Set(values)];
    throw new InvalidArgumentError(`Expected whole numbers from ${min} to ${max}, separated by commas.`);
  };
}

function words(text: string): readonly string[] {
  return text.split(",").map((part) => part.trim());
}

/** A median needs three. */
function atLeastThree(text: string): number {
  const value = wholeNumber(text);
  if (value >= REPEATS_MIN && value <= 100) return value;
  throw new InvalidArgumentError(`Expected a whole number from ${REPEATS_MIN} to 100.`);
}

function seconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0.05 && value <= 60) return value;
  throw new InvalidArgumentError("Expected 0.05 to 60 seconds.");
}
