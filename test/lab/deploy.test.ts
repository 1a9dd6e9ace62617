import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rowsUnder, sectionOf } from "../markdown.ts";
import { isInstalled } from "../program.ts";
import { read, root } from "../source-tree.ts";
import { faultsIn, groupingsIn, samplesIn, seriesOver } from "./deploy/exposition.ts";
import { Minutes } from "./deploy/minutes.ts";

// The alert rules and the dashboard of deploy/, against what real servers say at /metrics. promtool evaluates the
// expressions where it is installed (Debian's package prometheus has it); that all they name is there is checked
// in any case.

const RULES = "deploy/prometheus/dibs-alerts.yml";
const rules = rulesIn(read(RULES));
const dashboard = JSON.parse(read("deploy/grafana/dibs-dashboard.json")) as Dashboard;
const panels = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expression: withoutVariables(expr) })),
);
const hasPromtool = isInstalled("promtool");

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
}

/** Each rule's name and expression; the file keeps to two ways of writing one. */
function rulesIn(yaml: string): { alert: string; expression: string; runbook: string }[] {
  return yaml
    .split(/^ +- alert: /m)
    .slice(1)
    .map((block) => ({
      alert: block.slice(0, block.indexOf("\n")),
      expression: (/^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)/m.exec(block)?.slice(1).join("") ?? "").trim(),
      runbook: /^ +runbook: (.*)$/m.exec(block)?.[1] ?? "",
    }));
}

/** What Grafana puts in their place when all is chosen. */
function withoutVariables(expression: string): string {
  return expression.replaceAll("$__rate_interval", "5m").replaceAll(/\$(instance|queue)\b/g, ".*");
}

/** A quarter of an hour in which all goes well, and some of everything happens. */
async function goodMinutes(): Promise<string[]> {
  await using minutes = await Minutes.start();
  await minutes.pass(16, async () => {
    await minutes.enqueue(20);
    await minutes.enqueue(1, { delayMs: 60_000 });
    const [first, ...others] = await minutes.claim(30);
    await minutes.settle(others, { outcome: "complete" });
    if (first !== undefined) await minutes.settle([first], { outcome: "nack", delayMs: 0 });
    await minutes.settle(await minutes.claim(5), { outcome: "complete" });
    const waiting = minutes.claim(1, { waitMs: 30_000 });
    await minutes.enqueue(1);
    await minutes.settle(await waiting, { outcome: "complete" });
  });
  return minutes.scrapes;
}

let good: string[];

beforeAll(async () => {
  good = await goodMinutes();
});

describe("the alert rules", () => {
  it("name metrics, labels and values that a server exposes", () => {
    const text = good.at(-1) as string;
    const faults = rules.flatMap(({ alert, expression }) =>
      faultsIn(expression, text).map((fault) => `${alert}: ${fault}`),
    );

    expect(faults).toEqual([]);
    expect(rules.length).toBe(16);
    expect(rules.every(({ expression }) => expression.includes("dibs_"))).toBe(true);
    expect(faultsIn('rate(dibs_no_such_total[5m]) > dibs_queue_depth{state="read"}', text)).toEqual([
      "there is no dibs_no_such_total",
      'nothing fits dibs_queue_depth{state="read"}',
    ]);
  });

  it("group by labels that there are", () => {
    const labels = new Set(
      samplesIn(good.at(-1) as string).flatMap(({ series }) =>
        [...series.matchAll(/[{,](\w+)="/g)].map(([, label]) => label as string),
      ),
    );
    const used = [...rules, ...panels].flatMap(({ expression }) => groupingsIn(expression));

    expect(used.filter((label) => label !== "instance" && !labels.has(label))).toEqual([]);
    expect(used.length).toBeGreaterThan(30);
  });

  it("are those of the operations manual", () => {
    const rows = rowsUnder(sectionOf(read("docs/operations.md"), "Alerts"));
    const named = rows.flatMap(([cell = ""]) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name));

    expect(named.sort()).toEqual(rules.map(({ alert }) => alert).sort());
  });

  it("lead to chapters of the operations manual", () => {
    const headings = [...read("docs/operations.md").matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      (title as string).toLowerCase().replaceAll(" ", "-"),
    );
    const wrong = rules.filter(({ runbook }) => {
      const [file, heading = ""] = runbook.split("#");
      return file !== "docs/operations.md" || !headings.includes(heading);
    });

    expect(wrong).toEqual([]);
  });
});

describe("the dashboard", () => {
  it("asks for metrics, labels and values that a server exposes", () => {
    const text = good.at(-1) as string;
    const faults = panels.flatMap(({ title, expression }) =>
      faultsIn(expression, text).map((fault) => `${title}: ${fault}`),
    );

    expect(faults).toEqual([]);
    expect(panels.length).toBeGreaterThan(40);
  });

  it("shows every metric of the server", () => {
    const shown = panels.map(({ expression }) => expression).join("\n");
    const families = [...(good.at(-1) as string).matchAll(/^# TYPE (\w+)/gm)].map(
      ([, name]) => name as string,
    );

    expect(families.filter((name) => !shown.includes(name))).toEqual([]);
    expect(families.length).toBeGreaterThan(20);
  });

  it("begins with the latency of the claim", () => {
    const [row, first] = dashboard.panels;

    expect([row?.title, first?.title]).toEqual(["Claims", "Claim P50"]);
  });
});

// Without promtool the expressions are only looked through, as above.
describe.runIf(hasPromtool)("promtool", () => {
  const FOLDER = mkdtemp(join(tmpdir(), "dibs-promtool-"));
  /** What depends on how fast this machine is at the moment: judged where it is made to be slow, and not elsewhere. */
  const BY_TIME = "DibsClaimSlow|DibsClaimMedianSlow|DibsStoreSlow|DibsEventLoopLate|DibsGcPauseLong";

  afterAll(async () => rm(await FOLDER, { recursive: true, force: true }));

  interface Question {
    readonly expr: string;
    readonly exp_samples: readonly { readonly labels: string; readonly value: number }[];
  }

  /** Asks at the last of the scrapes; gives what promtool finds wrong. */
  async function complaints(scrapes: readonly string[], questions: readonly Question[]): Promise<string> {
    const eval_time = `${Math.max(0, scrapes.length - 1)}m`;
    const test = {
      rule_files: [join(root, RULES)],
      evaluation_interval: "1m",
      tests: [
        {
          interval: "1m",
          input_series: seriesOver(scrapes, "127.0.0.1:4510"),
          promql_expr_test: questions.map((question) => ({ ...question, eval_time })),
        },
      ],
    };
    const path = join(await FOLDER, "test.yml"); // JSON is YAML.
    await writeFile(path, JSON.stringify(test));
    return promtool("test", "rules", path);
  }

  function promtool(...args: string[]): Promise<string> {
    return new Promise((resolve) => {
      execFile("promtool", args, { cwd: root }, (error, stdout, stderr) =>
        resolve(error === null ? "" : stdout + stderr),
      );
    });
  }

  const firing = (alerts: readonly string[], selector: string): Question => ({
    expr: `max by (alertname) (ALERTS{alertstate="firing", ${selector}})`,
    exp_samples: alerts.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
  });

  it("reads the rules and the configuration", async () => {
    expect(await promtool("check", "rules", RULES)).toBe("");
    expect(await promtool("check", "config", "deploy/prometheus/prometheus.yml")).toBe("");
  });

  it("finds an answer to each expression of the dashboard", async () => {
    const questions = panels.map(({ expression }) => ({
      expr: `count(${expression}) > bool 0`,
      exp_samples: [{ labels: "{}", value: 1 }],
    }));

    expect(await complaints(good, questions)).toBe("");
    const nothing = { expr: "count(dibs_no_such_total) > bool 0", exp_samples: [{ labels: "{}", value: 1 }] };
    expect(await complaints(good, [nothing])).toContain("dibs_no_such_total");
  });

  it("sees no alert while all goes well", async () => {
    expect(await complaints(good, [firing([], `alertname!~"${BY_TIME}"`)])).toBe("");
  });

  it.each<[string, string[], (minutes: Minutes) => Promise<void>]>([
    [
      "nobody claims",
      ["DibsNobodyClaims", "DibsTasksWait"],
      (minutes) => minutes.pass(14, (minute) => (minute === 0 ? minutes.enqueue(3) : undefined)),
    ],
    [
      "more comes than is claimed",
      ["DibsBacklogGrows", "DibsTasksWait"],
      (minutes) =>
        minutes.pass(16, async (minute) => {
          await minutes.enqueue(minute === 0 ? 900 : 200);
          await minutes.settle(await minutes.claim(20), { outcome: "complete" });
        }),
    ],
    [
      "every second attempt fails",
      ["DibsManyFailures"],
      (minutes) =>
        minutes.pass(14, async () => {
          await minutes.enqueue(20);
          await minutes.settle(await minutes.claim(10), { outcome: "complete" });
          await minutes.settle(await minutes.claim(10), { outcome: "nack", delayMs: 3_600_000 });
        }),
    ],
    [
      "workers refuse tasks",
      ["DibsDeadLetters"],
      (minutes) =>
        minutes.pass(5, async () => {
          await minutes.enqueue(5);
          await minutes.settle(await minutes.claim(5), { outcome: "nack", retry: false });
        }),
    ],
    [
      "workers die",
      ["DibsLeasesExpire"],
      (minutes) =>
        minutes.pass(5, async () => {
          await minutes.enqueue(5, { maxAttempts: 2 });
          await minutes.claim(5, { leaseMs: 1_000 });
        }),
    ],
    [
      "workers come too late",
      ["DibsLeasesLost"],
      (minutes) =>
        minutes.pass(5, async () => {
          await minutes.enqueue(5);
          const tasks = await minutes.claim(5);
          await minutes.settle(tasks, { outcome: "complete" });
          const stale = tasks.map(({ id }) => ({ id, lease: { token: "a-token-of-before" } }));
          await minutes.settle(stale, { outcome: "complete" });
        }),
    ],
    [
      "delayed tasks come late",
      ["DibsScheduleLate"],
      (minutes) =>
        minutes.pass(14, async () => {
          await minutes.enqueue(2, { delayMs: 1_000 });
          await minutes.settle(await minutes.claim(10), { outcome: "complete" });
        }),
    ],
    [
      "the disk is full",
      ["DibsStoreErrors", "DibsStoreFailed"],
      (minutes) =>
        minutes.pass(10, async (minute) => {
          if (minute === 2) minutes.disk.room = 0;
          await minutes.enqueue(1);
          await minutes.settle(await minutes.claim(1), { outcome: "complete" });
        }),
    ],
  ])("raises, when %s, %s", async (_trouble, alerts, happens) => {
    await using minutes = await Minutes.start();
    await happens(minutes);

    expect(await complaints(minutes.scrapes, [firing(alerts, `alertname!~"${BY_TIME}"`)])).toBe("");
  });

  it("raises DibsDown when no server answers", async () => {
    const empty = Array.from({ length: 5 }, () => "");

    expect(await complaints(empty, [firing(["DibsDown"], 'alertname!=""')])).toBe("");
  });

  it.each<[string, string, number, (minutes: Minutes) => unknown]>([
    [
      "the store is slow",
      "DibsClaimSlow|DibsClaimMedianSlow|DibsStoreSlow",
      16,
      (minutes) => minutes.slowDown(150),
    ],
    ["the event loop is blocked", "DibsEventLoopLate", 16, () => sleep(50).then(() => block(250))],
    ["garbage collection stops the process", "DibsGcPauseLong", 5, () => collect()],
  ])("raises, when %s, %s", async (_trouble, alerts, length, happens) => {
    await using minutes = await Minutes.start();
    await minutes.pass(length, async () => {
      await happens(minutes);
      await minutes.enqueue(1);
      await minutes.settle(await minutes.claim(1), { outcome: "complete" });
    });
    const names = alerts.split("|").sort();

    expect(await complaints(minutes.scrapes, [firing(names, `alertname=~"${alerts}"`)])).toBe("");
  });
});

/** As a handler does that computes for long. The probe of the loop must have looked once before. */
function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/** A whole collection with so much alive that it takes longer than the bound of 50 ms, however fast the machine. */
function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const alive: object[] = [];
  for (let tookMs = 0; tookMs < 80; ) {
    for (let more = 0; more < 400_000; more += 1) alive.push({ more, next: [more] });
    const startedAt = performance.now();
    gc();
    tookMs = performance.now() - startedAt;
  }
}
