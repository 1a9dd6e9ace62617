import { existsSync } from "node:fs";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { BenchEnd } from "../lab/bench/bench.ts";
import type { BenchPlace } from "../lab/bench/place.ts";
import type { BenchName, BenchReport, BenchSettings } from "../lab/bench/report.ts";
import { agreed } from "./ask.ts";
import { showReport, titleOf } from "./bench/view.ts";
import { CommandFailed, EXIT, type ExitCode, UsageError } from "./exit.ts";
import { wholeNumber, withHelp, withSettings } from "./flags.ts";
import { count } from "./format.ts";
import { closeQuietly, openLabPlace, settingsOfPlace } from "./lab-place.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs bench`: how long the calls of the claim path take here, measured over several runs. */

interface BenchFlags extends SessionFlags {
  readonly serve?: boolean;
  readonly runs: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly concurrency: number;
  readonly depth: number;
  readonly batch: number;
  readonly payloadBytes: number;
  readonly timeoutMs: number;
  readonly across?: boolean;
  readonly cpuprofile?: string;
  readonly save?: string;
  readonly hdr?: string;
  readonly go?: boolean;
  readonly yes?: boolean;
}

const BENCHES: Readonly<Record<BenchName, string>> = {
  claim: "claims from a queue that stays as deep as it is",
  cycle: "enqueue, claim and complete, one after the other",
  wake: "from an enqueue to the answer of a claim that waited for it",
  enqueue: "enqueues alone",
  complete: "completes of tasks that are held",
};

export function addBench(dibs: Command): void {
  const bench = dibs
    .command("bench")
    .summary("measure claims and the other calls here, over several runs")
    .description(
      "Measures one kind of call over several runs, and says how far they lie apart. The tasks are the benchmark's own: " +
        "in a scratch folder, under keys of its own on a Redis, or in queues of its own on a server; they are removed " +
        "at the end, also after Ctrl-C.",
    );
  for (const name of Object.keys(BENCHES) as BenchName[]) addOne(bench, name);
}

function addOne(bench: Command, name: BenchName): void {
  const command = bench
    .command(`${name} [place]`)
    .summary(BENCHES[name])
    .description(
      `Measures ${BENCHES[name]}. The place is a folder (for a scratch folder in it), memory:, redis://… or the ` +
        "http://… of a server; without one it is a temporary folder.",
    )
    .option("--serve", "over HTTP, through a server of its own in another process")
    .option("--runs <number>", "measured runs, 1 to 100", within(1, 100), 5)
    .option("--seconds <s>", "length of a run, 0.1 to 3600", seconds(0.1), 10)
    .option("--warmup <s>", "length of the warm-up, 0 for none", seconds(0), 2)
    .option("-c, --concurrency <n>", "callers at a time, 1 to 1000", within(1, 1_000), 1)
    .option(
      "--timeout-ms <ms>",
      "a call that takes longer has timed out, 50 to 600000",
      within(50, 600_000),
      5_000,
    )
    .option("--payload-bytes <n>", "size of a payload, 100 to 1048576", within(100, 1_048_576), 213);
  if (name === "wake")
    command.option("--across", "enqueue through another connection than the one that waits");
  else
    command
      .option("--depth <n>", "tasks that wait in the queue", within(0, 5_000_000), 1_000)
      .option("--batch <n>", "tasks a call, 1 to 1000", within(1, 1_000), 1);
  command
    .option("--save <file>", "keep the report, with its histograms, for dibs compare")
    .option("--hdr <folder>", "write the percentiles of all runs as .hgrm files for HdrHistogram's plotter")
    .option("--cpuprofile <file>", "profile the measured runs: the server with --serve, else this process")
    .addOption(new Option("--go", "print lines as go test -bench does").conflicts("json"))
    .option("--yes", "do not ask before loading a server that has tasks of others")
    .action((place: string | undefined, flags: BenchFlags) =>
      perform({ ...flags, ...settingsOfPlace(place) }, (session) => run(session, name, place, flags), {
        graceful: true,
      }),
    );
  withHelp(
    withSettings(command, [
      "durability",
      "redisConnections",
      "redisTlsCa",
      "redisTlsCert",
      "redisTlsKey",
      "token",
    ]),
    [
      `dibs bench ${name}`,
      `dibs bench ${name} redis://127.0.0.1:6379 -c 50 --save base.json`,
      `dibs bench ${name} --serve --runs 3 --seconds 5`,
      `dibs bench ${name} --go | grep Benchmark`,
    ],
    "0 measured and every task delivered exactly once, 1 it was not or the calls failed, 3 delivery could not be " +
      "judged because answers were lost, 130 interrupted: what was measured until then is told",
  );
}

async function run(
  session: Session,
  name: BenchName,
  where: string | undefined,
  flags: BenchFlags,
): Promise<ExitCode> {
  const { output, signal } = session;
  const settings = settingsOf(flags);
  await checkWritable(flags);
  const place = await openLabPlace(session, where, {
    serve: flags.serve === true,
    timeoutMs: flags.timeoutMs,
  });
  const onSignal = () =>
    output.note("\nStopping; once more exits at once and leaves the scratch data behind.");
  signal.addEventListener("abort", onSignal, { once: true });
  let end: BenchEnd;
  try {
    if (!(await mayLoad(session, place, flags))) return EXIT.failed;
    end = await measure(session, place, name, settings, flags);
  } finally {
    signal.removeEventListener("abort", onSignal);
    output.endProgress();
    // Before anything is said on stdout: whoever reads it may go away, and this process then ends at once.
    await closeQuietly(session, place);
  }
  return tell(session, end, flags);
}

async function measure(
  { output, signal }: Session,
  place: BenchPlace,
  name: BenchName,
  settings: BenchSettings,
  flags: BenchFlags,
): Promise<BenchEnd> {
  const { runBench } = await import("../lab/bench/bench.ts");
  output.note(titleOf({ name, engine: place.engine, settings }));
  return runBench(place, {
    name,
    settings,
    signal,
    ...(flags.cpuprofile !== undefined && { profile: resolve(flags.cpuprofile) }),
    onProgress: (n, done) => {
      const what = n === 0 ? "warm-up" : `run ${n} of ${settings.runs}`;
      output.progress(`${name}: ${what}, ${Math.floor(100 * done)} %`);
    },
  });
}

async function tell(session: Session, { report, failure }: BenchEnd, flags: BenchFlags): Promise<ExitCode> {
  const { output, signal } = session;
  if (report !== undefined) {
    await keep(report, flags, output);
    if (flags.go === true) {
      const { goText } = await import("../lab/bench/go-lines.ts");
      output.print(goText(report));
    } else showReport(output, report);
  }
  if (failure !== undefined && !signal.aborted) throw failed(failure, report);
  if (signal.aborted) {
    if (report === undefined) output.note("Interrupted before anything was measured.");
    return EXIT.interrupted;
  }
  return exitCodeFor(report as BenchReport, session);
}

function failed(failure: unknown, report: BenchReport | undefined): unknown {
  if (!(failure instanceof Error) || failure instanceof TypeError || failure instanceof RangeError)
    return failure;
  const done = report === undefined ? "Nothing was measured" : `Ended after ${report.runs.length} runs`;
  return new CommandFailed(`${done}: ${failure.message}`, { cause: failure });
}

function exitCodeFor({ overall, runs }: BenchReport, { output }: Session): ExitCode {
  if (overall.exact) return EXIT.done;
  const faults = runs.filter(({ delivery }) => !delivery.exact).map(({ delivery }) => delivery.faults);
  const lost = overall.errors + overall.timeouts;
  const text = JSON.stringify(faults[0]);
  if (lost > 0) {
    output.warn(`${count(lost)} calls were not answered, so delivery cannot be judged: ${text}`);
    return EXIT.incomplete;
  }
  output.warn(`Not every task was delivered exactly once: ${text}`);
  return EXIT.failed;
}

/** A server with tasks of others is loaded only when somebody agrees: they will feel it. */
async function mayLoad(
  session: Session,
  { connection, engine }: BenchPlace,
  flags: BenchFlags,
): Promise<boolean> {
  if (engine.store !== "unknown" || flags.yes === true) return true;
  const theirs = (await connection.queues()).filter(
    ({ counts }) => counts.ready + counts.leased + counts.scheduled > 0,
  );
  if (theirs.length === 0) return true;
  const tasks = theirs.reduce((sum, { counts }) => sum + counts.ready + counts.leased + counts.scheduled, 0);
  const held = `${engine.place} holds ${count(tasks)} tasks of others, whose workers will wait longer meanwhile`;
  const question = () => `${held}. Measure there?`;
  const yes = await agreed(session, question, `${held}; add --yes to measure there all the same`);
  if (!yes) session.output.note("Nothing was measured.");
  return yes;
}

function settingsOf(flags: BenchFlags): BenchSettings {
  return {
    runs: flags.runs,
    secondsPerRun: flags.seconds,
    warmupSeconds: flags.warmup,
    concurrency: flags.concurrency,
    depth: flags.depth ?? 0,
    batch: flags.batch ?? 1,
    payloadBytes: flags.payloadBytes,
    timeoutMs: flags.timeoutMs,
    across: flags.across === true,
    profiled: flags.cpuprofile !== undefined,
  };
}

/** Says before the minutes of measuring, and not after them, that a file cannot be written. */
async function checkWritable({ save, cpuprofile, hdr }: BenchFlags): Promise<void> {
  try {
    if (hdr !== undefined && !existsSync(hdr)) await mkdir(hdr);
    for (const file of [save, cpuprofile]) if (file !== undefined) await appendFile(file, "");
  } catch (error) {
    throw new UsageError(`Nothing can be kept there: ${(error as Error).message}`);
  }
}

async function keep(report: BenchReport, { save, hdr, cpuprofile }: BenchFlags, output: Session["output"]) {
  if (save !== undefined) {
    await writeFile(save, `${JSON.stringify(report, null, 1)}\n`);
    output.note(`Report kept in ${save}`);
  }
  if (cpuprofile !== undefined) output.note(`CPU profile kept in ${cpuprofile}`);
  if (hdr === undefined) return;
  const { LatencyHistogram } = await import("../lab/histogram.ts");
  for (const [name, { histogram }] of Object.entries(report.overall.latencies)) {
    const text = LatencyHistogram.decode(histogram).percentileText();
    await writeFile(join(hdr, `${report.name}-${name}.hgrm`), text);
  }
  output.note(`Percentiles kept in ${hdr}`);
}

function within(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

function seconds(min: number): (text: string) => number {
  const max = 3_600;
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected ${min} to ${max} seconds.`);
  };
}
