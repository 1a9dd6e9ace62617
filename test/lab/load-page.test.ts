import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LoadReport } from "../../src/lab/load/load-report.ts";
import { load } from "./loading.ts";

/** The page of a report in a real browser: Chromium from CHROMIUM_PATH, or Debian's. */
const { CHROMIUM_PATH: program = "/usr/bin/chromium", CI } = process.env;
const isThere = existsSync(program);
if (!isThere && CI !== undefined)
  throw new Error(`The test of load's page needs Chromium, and ${program} is not there; set CHROMIUM_PATH`);

interface ShownFigure {
  readonly path: string;
  readonly per: number;
  readonly shown: string;
}

// Without a browser there is no page to look at; in CI that is a fault and not a reason.
describe.skipIf(!isThere)(`the page of dibs load (needs Chromium at ${program})`, () => {
  let folder: string;
  let report: LoadReport;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "dibs-load-page-"));
    const [html, json] = [join(folder, "load.html"), join(folder, "load.json")];
    await load(
      ...["claim-latency", "-d", "4s", "--rate", "100", "--gate", "seed", "--partial"],
      ...["--report", html, "--save", json, "--svg", join(folder, "svg")],
    );
    report = JSON.parse(readFileSync(json, "utf8")) as LoadReport;
    browser = await chromium.launch({
      executablePath: program,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
    });
    page = await browser.newPage();
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => complaints.push(message.text()));
    page.on("request", (request) => complaints.push(request.url()));
    await page.goto(pathToFileURL(html).href);
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("carries the report, and asks for nothing else", async () => {
    const carried = await page.locator("script#report").textContent();

    expect(JSON.parse(carried ?? "")).toEqual(report);
    expect(complaints).toEqual([page.url()]);
  });

  it("shows each figure as it is in the JSON", async () => {
    const figures: ShownFigure[] = await page.locator("[data-figure]").evaluateAll((cells) =>
      cells.map((cell) => ({
        path: cell.getAttribute("data-figure") ?? "",
        per: Number(cell.getAttribute("data-per") ?? 1),
        shown: cell.textContent ?? "",
      })),
    );

    expect(figures.length).toBeGreaterThan(60);
    expect(new Set(figures.map(({ path }) => path)).size).toBe(figures.length);
    for (const figure of figures) expect([figure.path, isRight(figure, report)]).toEqual([figure.path, true]);
    expect(figures.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        ...Object.keys(report.latencies).map((name) => `latencies.${name}.p99Ns`),
        "operations",
        "delivery.faults.lost",
        "server.rssBytesMax",
      ]),
    );
  });

  it("would not take another figure for right", () => {
    const { p99Ns } = report.latencies["claim"] as LoadReport["latencies"][string];
    const figure = { path: "latencies.claim.p99Ns", per: 1e6 };

    expect(isRight({ ...figure, shown: String((p99Ns / 1e6) * 1.02) }, report)).toBe(false);
    expect(isRight({ ...figure, shown: "" }, report)).toBe(false);
    expect(isRight({ ...figure, path: "latencies.claim.p98Ns", shown: "1" }, report)).toBe(false);
  });

  it("draws latency, throughput, depth, pauses and memory over every second", async () => {
    const titles = await page.locator("figure svg > title").allTextContents();
    expect(titles).toEqual([
      "Percentiles",
      "Latency over time: claim",
      "Throughput",
      "Depth of the queue",
      "Pauses of the server",
      "Memory of the server",
    ]);

    const whole = report.timeline.filter(({ seconds }) => seconds >= 0.5).length;
    const path = await page.locator("#chart-throughput path[stroke]").last().getAttribute("d");
    expect(path?.split(/[ML]/).length).toBe(whole + 1);
    const boxes = await page
      .locator("figure svg")
      .evaluateAll((all) =>
        all.map((svg) => svg.getBoundingClientRect()).map(({ width, height }) => [width > 300, height > 100]),
      );
    expect(boxes).toEqual(titles.map(() => [true, true]));
    expect(readdirSync(join(folder, "svg")).length).toBe(titles.length);
  });
});

/** Read back from the page, to the three digits that it shows. */
function isRight({ path, per, shown }: ShownFigure, report: unknown): boolean {
  let value = report;
  for (const name of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[name];
  if (typeof value !== "number") return value !== undefined && shown === String(value);
  const number = Number.parseFloat(shown.replaceAll(",", ""));
  const expected = value / per;
  return Math.abs(number - expected) <= 0.006 * Math.abs(expected);
}
