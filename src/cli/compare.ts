import { type Command, InvalidArgumentError, Option } from "commander";
import type { Comparison } from "../lab/compare/comparison.ts";
import type { ComparisonRow } from "../lab/compare/comparison-markdown.ts";
import type { Verdict } from "../lab/compare/judge.ts";
import type { PairSettings } from "../lab/compare/pairs.ts";
import type { Difference } from "../lab/compare/side.ts";
import { CommandFailed, EXIT, type ExitCode, UsageError } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { duration } from "./format.ts";
import type { Output } from "./output.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";
import type { Column } from "./table.ts";

/** `dibs compare`: whether a change made claims faster, slower, or neither that can be told. */
const ALLOWED = ["machine", "versions", "settings"] as const satisfies readonly Difference[];

interface CompareFlags
  extends SessionFlags,
    Partial<Omit<PairSettings, "warmupSeconds" | "store" | "serve">> {
  readonly store?: string;
  readonly rev?: readonly string[];
  readonly serve?: boolean;
  readonly warmup?: number;
  readonly allow?: readonly Difference[];
  readonly require?: "better" | "win";
  readonly markdown?: boolean;
}

export function addCompare(dibs: Command): void {
  const command = dibs
    .command("compare [base] [candidate]")
    .summary("whether a change made claims faster: two saved measurements, or two revisions")
    .description(
      "Compares two files that `dibs bench` or `dibs load` saved, or that a script of loadtest/k6 wrote; or builds two " +
        "revisions of the checkout aside and measures them in turns. Says the ratio of the medians with its bootstrap " +
        "interval for P50, P95, P99, throughput, CPU and memory, and judges: a win is a P99 that is down by 30 % or more " +
        "while throughput holds and errors do not rise.",
    )
    .option("--rev <revision>", "a revision to build and measure; give it twice, the base first", listed)
    .option("--pairs <number>", "with --rev: measurements of each side (default: 12)", atLeast(1))
    .option("--seconds <seconds>", "with --rev: length of each (default: 0.5)", secondsFrom(0.05))
    .option("--warmup <seconds>", "with --rev: before each (default: 0.3)", secondsFrom(0))
    .option("-c, --concurrency <number>", "with --rev: callers at once (default: 1)", atLeast(1))
    .option("--depth <number>", "with --rev: tasks that wait in the queue (default: 1000)", atLeast(0))
    .option("--store <place>", "with --rev: memory: or redis://… (default: a temporary folder)")
    .option("--serve", "with --rev: over HTTP, through a server of each revision")
    .option("--allow <difference>", `judge although they differ in ${ALLOWED.join(", ")}`, allowed)
    .addOption(
      new Option("--require <verdict>", "exit with 1 when the verdict is less").choices(["better", "win"]),
    )
    .option("--markdown", "print Markdown, for a pull request or a file")
    .action((base: string | undefined, candidate: string | undefined, flags: CompareFlags) =>
      perform(flags, (session) => run(session, [base, candidate], flags), { graceful: true }),
    );
  withHelp(
    withSettings(command, []),
    [
      "dibs compare base.json candidate.json",
      "dibs compare base.json candidate.json --allow machine --markdown",
      "dibs compare --rev main --rev HEAD",
      "dibs compare --rev v0.1.0 --rev HEAD --serve --concurrency 20 --require win",
    ],
    "0 a win, better, or no change that can be told from noise; 1 worse, or less than --require asks; " +
      "3 not judged: other machine, version or settings, or too few runs",
  );
}

function listed(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function allowed(text: string, before: readonly Difference[] = []): readonly Difference[] {
  const found = ALLOWED.find((difference) => difference === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected ${ALLOWED.join(", ")}.`);
  return [...before, found];
}

function atLeast(least: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < least)
      throw new InvalidArgumentError(`Expected a whole number, ${least} or more.`);
    return Number(text);
  };
}

function secondsFrom(least: number): (text: string) => number {
  return (text) => {
    const seconds = Number(text);
    if (text.trim() === "" || !(seconds >= least && seconds <= 3_600))
      throw new InvalidArgumentError(`Expected seconds, ${least} to 3600.`);
    return seconds;
  };
}

async function run(
  session: Session,
  files: readonly [string | undefined, string | undefined],
  flags: CompareFlags,
): Promise<ExitCode> {
  const { rev = [], json, markdown } = flags;
  if (json && markdown) throw new UsageError("--json and --markdown are two forms: give one of them");
  const [base, candidate] = files;
  if (rev.length > 0 && base !== undefined) throw new UsageError("Give two files or two --rev, not both");
  if (rev.length > 0 && rev.length !== 2)
    throw new UsageError(`Expected --rev twice, got it ${rev.length} times`);
  if (rev.length === 0 && candidate === undefined)
    throw new UsageError("Expected two files, the base and the candidate, or --rev twice");
  if (rev.length === 0) refuseUnused(flags);
  const comparison =
    rev.length === 2
      ? await compareBuilt(session, rev as [string, string], flags)
      : await compareFiles(base as string, candidate as string, flags);
  if (comparison === undefined) return EXIT.interrupted;
  await show(session.output, comparison, markdown === true);
  return session.signal.aborted ? EXIT.interrupted : exitCodeOf(comparison.verdict, flags.require);
}

function refuseUnused(flags: CompareFlags): void {
  const names = ["pairs", "seconds", "warmup", "concurrency", "depth", "store", "serve"] as const;
  const unused = names.find((name) => flags[name] !== undefined);
  if (unused !== undefined) throw new UsageError(`--${unused} is for --rev: files were measured already`);
}

async function compareFiles(
  base: string,
  candidate: string,
  { allow = [] }: CompareFlags,
): Promise<Comparison> {
  const [{ readSide, UnreadableSide }, { compare }] = await Promise.all([
    import("../lab/compare/read-side.ts"),
    import("../lab/compare/comparison.ts"),
  ]);
  try {
    return compare(await readSide(base), await readSide(candidate), { paired: false, allow });
  } catch (error) {
    throw error instanceof UnreadableSide ? new UsageError(error.message) : error;
  }
}

/** Undefined when it was interrupted before anything was measured. */
async function compareBuilt(
  { output, signal }: Session,
  revisions: readonly [string, string],
  flags: CompareFlags,
): Promise<Comparison | undefined> {
  const [{ compareRevisions }, { RevisionError, UnknownRevision }] = await Promise.all([
    import("../lab/compare/compare-revisions.ts"),
    import("../lab/compare/revisions.ts"),
  ]);
  const settings = await settingsOf(flags);
  const startedAt = performance.now();
  try {
    return await compareRevisions(revisions, {
      ...settings,
      folder: process.cwd(),
      signal,
      onStep: (text) => output.note(text),
      onPair: (pair) => output.progress(progressLine(pair, settings.pairs, performance.now() - startedAt)),
    });
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error instanceof UnknownRevision) throw new UsageError(error.message);
    throw error instanceof RevisionError ? new CommandFailed(error.message) : error;
  } finally {
    output.endProgress();
  }
}

async function settingsOf(flags: CompareFlags): Promise<PairSettings> {
  const { DEFAULT_PAIRS } = await import("../lab/compare/pairs.ts");
  const { store, pairs, seconds, warmup, concurrency, depth, serve } = flags;
  if (store !== undefined && store !== "memory:" && !/^(redis|valkey)s?[+:-]/.test(store))
    throw new UsageError(
      `Expected --store to be memory: or redis://…, got ${store}; a folder is a temporary one`,
    );
  if (store === "memory:" && serve)
    throw new UsageError("--serve needs a store that a server has: leave out memory:");
  return {
    ...(store !== undefined && { store }),
    pairs: pairs ?? DEFAULT_PAIRS.pairs,
    seconds: seconds ?? DEFAULT_PAIRS.seconds,
    warmupSeconds: warmup ?? DEFAULT_PAIRS.warmupSeconds,
    concurrency: concurrency ?? DEFAULT_PAIRS.concurrency,
    depth: depth ?? DEFAULT_PAIRS.depth,
    serve: serve ?? DEFAULT_PAIRS.serve,
  };
}

function progressLine(pair: number, pairs: number, elapsedMs: number): string {
  const line = `measuring pair ${pair} of ${pairs}`;
  if (pair < 3) return line;
  return `${line}, about ${duration((elapsedMs / (pair - 1)) * (pairs - pair + 1))} left`;
}

const COLUMNS: readonly Column<ComparisonRow>[] = [
  { title: "MEASURE", value: (it) => it.measure },
  { title: "BASE", value: (it) => it.base },
  { title: "CANDIDATE", value: (it) => it.candidate },
  { title: "RATIO", value: (it) => it.ratio },
  { title: "INTERVAL", value: (it) => it.interval },
  { title: "OUTCOME", value: (it) => it.outcome },
];

async function show(output: Output, comparison: Comparison, markdown: boolean): Promise<void> {
  const { markdownOf, notesOf, rowsOf } = await import("../lab/compare/comparison-markdown.ts");
  output.emit(comparison);
  if (markdown) return output.print(markdownOf(comparison).trimEnd());
  output.table(COLUMNS, rowsOf(comparison));
  output.print("");
  for (const sentence of comparison.sentences) output.print(sentence);
  for (const note of notesOf(comparison)) output.note(note);
}

const RANKS: readonly Verdict[] = ["noise", "better", "win"];

function exitCodeOf(verdict: Verdict, required: Verdict | undefined): ExitCode {
  if (verdict === "not judged") return EXIT.incomplete;
  if (verdict === "worse") return EXIT.failed;
  const isEnough = required === undefined || RANKS.indexOf(verdict) >= RANKS.indexOf(required);
  return isEnough ? EXIT.done : EXIT.failed;
}
