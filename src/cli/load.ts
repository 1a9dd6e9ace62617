import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { BenchPlace } from "../lab/bench/place.ts";
import type { Difference } from "../lab/compare/side.ts";
import type { GateName } from "../lab/load/gates.ts";
import type { LoadReport } from "../lab/load/load-report.ts";
import type { LoadWish } from "../lab/load/load-wish.ts";
import type { Scenario } from "../lab/load/scenario.ts";
import { SCENARIOS } from "../lab/load/scenarios.ts";
import { parseThreshold, type Threshold } from "../lab/load/threshold.ts";
import { agreed } from "./ask.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import { wholeNumber, withHelp, withSettings } from "./flags.ts";
import { count } from "./format.ts";
import { closeQuietly, isServer, openLabPlace, settingsOfPlace } from "./lab-place.ts";
import { keepLoad, makeRoom } from "./load/keeping.ts";
import { exitCodeOf, judgeLoad } from "./load/verdict.ts";
import { LoadView } from "./load/view.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";

/** `dibs load`: a server under a load that does not wait for its answers. */
export interface LoadFlags extends SessionFlags {
  readonly users?: number;
  readonly duration?: number;
  readonly rate?: number;
  readonly workers?: number;
  readonly generators?: number;
  readonly timeoutMs: number;
  readonly threshold?: readonly Threshold[];
  readonly gate?: readonly GateName[];
  readonly partial?: boolean;
  readonly baseline?: string;
  readonly allow?: readonly Difference[];
  readonly save?: string;
  readonly report?: string;
  readonly svg?: string;
  readonly yes?: boolean;
}

const ALLOWED = ["machine", "versions", "settings"] as const satisfies readonly Difference[];
const GATES = ["seed", "dibs"] as const satisfies readonly GateName[];
/** The generator turns its event loop while it waits for the next call: more of them than spare cores are in each other's way. */
const PROCESSES_MAX = 4;

export function addLoad(dibs: Command): void {
  const scenarios = SCENARIOS.map(({ name, summary }) => `  ${name.padEnd(18)}${summary}`).join("\n");
  const command = dibs
    .command("load <scenario> [place]")
    .summary("put a server under a load that does not wait for its answers, and judge what it does")
    .description(
      "Calls leave at times that are fixed beforehand, and every latency counts from then: a server that stalls is not " +
        "spared the calls that would have come meanwhile. The rate is half of what the server can do, measured first. " +
        "At the end every task is accounted for.\n\n" +
        "The place is the http://… of a running server, or a redis://… or a folder for which one is started: with keys " +
        "of its own there, or a scratch folder in it. Without a place it is a temporary folder. What the load made is " +
        `removed at the end, also after Ctrl-C.\n\nScenarios:\n${scenarios}`,
    )
    .option(
      "-u, --users <n>",
      "closed loop: so many users, each as fast as it is answered, 1 to 5000",
      within(1, 5_000),
    )
    .option("-d, --duration <time>", "60s, 10m, 2h (default: the scenario's)", duration)
    .option(
      "--rate <n>",
      "tasks a second (default: half of the measured saturation, or the scenario's)",
      rate,
    )
    .option(
      "--workers <n>",
      "connections that work at the same time (default: the scenario's)",
      within(1, 5_000),
    )
    .option(
      "--generators <n>",
      "processes that make the calls (default: a core is left to the server)",
      within(1, 64),
    )
    .option(
      "--timeout-ms <ms>",
      "a call that takes longer has timed out, 50 to 600000",
      within(50, 600_000),
      10_000,
    )
    .option(
      "--threshold <text>",
      "claim.p99<50ms, errors<=0, … instead of the scenario's; several times",
      threshold,
    )
    .addOption(
      new Option("--gate <name>", "judge by the seed's success metrics, or by ours; several times").argParser(
        gate,
      ),
    )
    .option("--partial", "exit 0 although lines of a gate were not judged")
    .option("--baseline <file>", "what an earlier --save kept: for its rate, and to be judged against")
    .option(
      "--allow <difference>",
      `take a baseline that differs in ${ALLOWED.join(", ")}; several times`,
      allowed,
    )
    .option("--save <file>", "keep the report as JSON, for --baseline and dibs compare")
    .option("--report <file>", "keep it as a page of its own, with its charts")
    .option("--svg <folder>", "keep the charts, each a file")
    .option("--yes", "do not ask before loading a server or a Redis that has tasks of others")
    .action((scenario: string, place: string | undefined, flags: LoadFlags) =>
      perform({ ...flags, ...settingsOfPlace(place) }, (session) => run(session, scenario, place, flags), {
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
      "dibs load claim-latency",
      "dibs load claim-latency redis://127.0.0.1:6379 --report load.html --save base.json",
      "dibs load claim-latency -u 20 -d 60s",
      "dibs load claim-latency -d 10m --gate seed --baseline base.json --gate dibs",
      "dibs load burst http://127.0.0.1:4510 --threshold 'start.p99<250ms'",
    ],
    "1 a threshold or a gate failed, or not every task was delivered exactly once; 3 something was not judged; 130 " +
      "interrupted: what was measured until then is told",
  );
}

async function run(
  session: Session,
  name: string,
  where: string | undefined,
  flags: LoadFlags,
): Promise<ExitCode> {
  const scenario = scenarioNamed(name);
  const baseline = flags.baseline === undefined ? undefined : await baselineIn(flags.baseline);
  await makeRoom(flags);
  const place = await openLabPlace(session, where, { serve: !isServer(where), timeoutMs: flags.timeoutMs });
  const onSignal = () =>
    session.output.note("Stopping; once more exits at once and leaves the load's tasks behind.");
  session.signal.addEventListener("abort", onSignal, { once: true });
  try {
    if (!(await mayLoad(session, place, flags))) return EXIT.failed;
    const wish = wishOf(session, scenario, flags, baseline);
    if (baseline !== undefined) await refuseDifferences(place, wish, baseline, flags);
    return await load(session, place, wish, flags, baseline);
  } finally {
    session.signal.removeEventListener("abort", onSignal);
    session.output.endProgress();
    await closeQuietly(session, place);
  }
}

async function load(
  { output, signal }: Session,
  place: BenchPlace,
  wish: LoadWish,
  flags: LoadFlags,
  baseline: LoadReport | undefined,
): Promise<ExitCode> {
  const { runLoad } = await import("../lab/load/load-run.ts");
  const view = new LoadView(output);
  view.begin(place, wish);
  const measured = await runLoad(place, {
    ...wish,
    onProgress: (progress) => view.progress(progress),
    onRate: (text) => output.note(text),
  }).catch((error: unknown) => {
    // Interrupted before there was anything to tell.
    if (signal.aborted) return undefined;
    throw error;
  });
  output.endProgress();
  if (measured === undefined) return EXIT.interrupted;
  const report = judgeLoad(measured, wish.scenario, flags, baseline);
  view.end(report);
  await keepLoad(report, flags, output);
  return signal.aborted ? EXIT.interrupted : exitCodeOf(report, flags);
}

function wishOf(
  { config, signal }: Session,
  scenario: Scenario,
  flags: LoadFlags,
  baseline: LoadReport | undefined,
): LoadWish {
  const { users, rate: perSecond } = flags;
  if (users !== undefined && perSecond !== undefined)
    throw new UsageError("--users is a closed loop, which has no rate: leave --rate or --users out");
  if (users !== undefined && flags.workers !== undefined)
    throw new UsageError("--users are the workers of a closed loop: leave --workers out");
  const before = baseline?.settings.perSecond ?? undefined;
  const from =
    perSecond !== undefined
      ? ({ perSecond, from: "the command line" } as const)
      : before !== undefined && scenario.rate === "half"
        ? ({ perSecond: before, from: "the baseline" } as const)
        : undefined;
  const workers = users ?? flags.workers ?? scenario.workers;
  return {
    scenario,
    loop: users === undefined ? "open" : "closed",
    workers,
    seconds: flags.duration ?? scenario.seconds,
    processes: Math.min(
      workers,
      flags.generators ?? Math.min(PROCESSES_MAX, Math.max(1, availableParallelism() - 1)),
    ),
    timeoutMs: flags.timeoutMs,
    signal,
    ...(from !== undefined && { rate: from }),
    ...(config.token !== undefined && { token: config.token }),
    onProgress: () => {},
    onRate: () => {},
  };
}

async function baselineIn(file: string): Promise<LoadReport> {
  const { readBaseline, UnreadableBaseline } = await import("../lab/load/baseline.ts");
  try {
    return await readBaseline(file);
  } catch (error) {
    throw error instanceof UnreadableBaseline ? new UsageError(error.message) : error;
  }
}

async function refuseDifferences(
  place: BenchPlace,
  { scenario, loop, workers, processes }: LoadWish,
  baseline: LoadReport,
  { allow = [], baseline: file }: LoadFlags,
): Promise<void> {
  const [{ differencesFrom }, { readEnvironment }, { targetOf }] = await Promise.all([
    import("../lab/load/baseline.ts"),
    import("../lab/environment.ts"),
    import("../lab/load/load-run.ts"),
  ]);
  const environment = await readEnvironment();
  const run = { scenario: scenario.name, loop, workers, processes, environment, target: targetOf(place) };
  const [first] = differencesFrom(baseline, run, allow);
  if (first === undefined) return;
  throw new UsageError(
    `${file} is no baseline for this run: ${first.text}. Add --allow ${first.difference} to take it all the same`,
  );
}

/** Others will feel the load: that is asked for. */
async function mayLoad(session: Session, place: BenchPlace, { yes }: LoadFlags): Promise<boolean> {
  if (yes === true) return true;
  const held = await othersIn(place);
  if (held === undefined) return true;
  const question = () => `${held}. Load it all the same?`;
  const isAgreed = await agreed(session, question, `${held}; add --yes to load it all the same`);
  if (!isAgreed) session.output.note("Nothing was loaded.");
  return isAgreed;
}

/** What of others is there, in words. */
async function othersIn({ connection, engine, redis }: BenchPlace): Promise<string | undefined> {
  const keys = redis?.about.foreignKeys ?? 0;
  if (keys > 0)
    return `${engine.place} holds ${quantity(keys, "key")} of others, whose owners will feel the load`;
  if (engine.store !== "unknown") return undefined;
  let tasks = 0;
  for (const { counts } of await connection.queues())
    tasks += counts.ready + counts.leased + counts.scheduled;
  return tasks === 0
    ? undefined
    : `${engine.place} holds ${quantity(tasks, "task")} of others, whose workers will feel the load`;
}

function quantity(number: number, what: string): string {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}

function scenarioNamed(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `There is no scenario ${name}; there are ${SCENARIOS.map((scenario) => scenario.name).join(", ")}`,
  );
}

function within(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

function rate(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0.1 && value <= 1_000_000) return value;
  throw new InvalidArgumentError("Expected 0.1 to 1000000 tasks a second.");
}

function duration(text: string): number {
  const [, value, unit = "s"] = /^(\d+(?:\.\d+)?)(s|m|h)?$/.exec(text) ?? [];
  const seconds = Number(value) * { s: 1, m: 60, h: 3_600 }[unit as "s" | "m" | "h"];
  if (seconds >= 1 && seconds <= 24 * 3_600) return seconds;
  throw new InvalidArgumentError("Expected a time from 1s to 24h, like 60s or 10m.");
}

function threshold(text: string, before: readonly Threshold[] = []): readonly Threshold[] {
  try {
    return [...before, parseThreshold(text)];
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
}

function gate(text: string, before: readonly GateName[] = []): readonly GateName[] {
  const found = GATES.find((name) => name === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected ${GATES.join(" or ")}.`);
  return [...new Set([...before, found])];
}

function allowed(text: string, before: readonly Difference[] = []): readonly Difference[] {
  const found = ALLOWED.find((difference) => difference === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of ${ALLOWED.join(", ")}.`);
  return [...before, found];
}
