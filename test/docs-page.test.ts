import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTE_NAMES } from "../src/protocol/routes.ts";
import { Serving } from "./http/serving.ts";

/** The page at /docs, driven in a real browser: Chromium from CHROMIUM_PATH, or Debian's. */
const { CHROMIUM_PATH: browser = "/usr/bin/chromium", CI } = process.env;
const isThere = existsSync(browser);
if (!isThere && CI !== undefined) {
  throw new Error(
    `The test of the page at /docs needs Chromium, and ${browser} is not there; set CHROMIUM_PATH`,
  );
}

// Without a browser there is no page to drive; in CI that is a fault and not a reason.
describe.skipIf(!isThere)(`the page at /docs (needs Chromium at ${browser})`, () => {
  let serving: Serving;
  let profile: string;
  let context: BrowserContext;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    serving = await Serving.start();
    profile = mkdtempSync(join(tmpdir(), "dibs-docs-page-"));
    context = await chromium.launchPersistentContext(profile, {
      executablePath: browser,
      headless: true,
      httpCredentials: { username: "anyone", password: "s3cret" },
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    page = await context.newPage();
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("requestfailed", (request) => complaints.push(`${request.url()} failed`));
    page.on("request", (request) => {
      if (!request.url().startsWith(serving.url) && !request.url().startsWith("data:"))
        complaints.push(request.url());
    });
    await page.goto(`${serving.url}/docs`);
    await page.waitForSelector("details.route");
  });

  afterAll(async () => {
    await context?.close();
    await serving?.[Symbol.asyncDispose]();
    if (profile !== undefined) rmSync(profile, { recursive: true, force: true });
  });

  it("lists every route by what it does", async () => {
    const ids = await page.locator("details.route").evaluateAll((routes) => routes.map(({ id }) => id));

    expect(ids.sort()).toEqual([...ROUTE_NAMES].sort());
    expect(await page.locator("h2").allTextContents()).toEqual([
      "Producing",
      "Working",
      "Looking and operating",
      "The server",
    ]);
  });

  it("enqueues, claims and completes a task with what it filled in by itself", async () => {
    await send(page, "enqueue");
    expect(await answer(page, "enqueue")).toMatchObject({
      queue: "emails",
      state: "ready",
      payload: { to: "a@b.c" },
    });

    await send(page, "claim");
    const { tasks } = await answer(page, "claim");

    await send(page, "complete");
    expect(await status(page, "complete")).toMatch(/^200 OK/);
    expect(await answer(page, "complete")).toEqual({ id: tasks[0].id, state: "completed" });
  });

  it("shows an error, the headers and the line for curl", async () => {
    await open(page, "claim");
    await page.fill("#claim textarea", '{"queues":["it\'s"]}');
    await page.click("#claim button[type=submit]");
    await page.waitForSelector("#claim .status.bad");

    expect(await status(page, "claim")).toMatch(/^400 Bad Request in [\d.]+ ms$/);
    expect(await page.textContent("#claim .headers")).toContain("x-request-id: ");
    expect(await page.textContent("#claim .curl")).toBe(
      `curl -i '${serving.url}/v1/claims' -H 'Content-Type: application/json' -d '{"queues":["it'\\''s"]}'`,
    );
  });

  it("shows markup from the server as text", async () => {
    await open(page, "enqueue");
    await page.fill("#enqueue textarea", '{"queue":"emails","payload":"<img src=x onerror=alert(1)>"}');
    await page.click("#enqueue button[type=submit]");
    await page.locator("#enqueue .body", { hasText: "onerror" }).waitFor();

    expect(await page.locator("#enqueue .output img").count()).toBe(0);
  });

  it("sends query parameters and reads answers that are no JSON", async () => {
    await open(page, "list");
    await page.fill("#list input[name=queue]", "emails");
    await page.selectOption("#list select[name=state]", "completed");
    await page.fill("#list input[name=limit]", "1");
    await page.click("#list button[type=submit]");
    await page.waitForSelector("#list .status.good");
    expect((await answer(page, "list")).tasks).toHaveLength(1);

    await send(page, "metrics");
    expect(await page.textContent("#metrics .body")).toContain("dibs_tasks_enqueued_total");
  });

  it("works by keyboard: finds a route, opens it, sends from the body", async () => {
    await page.reload();
    await page.waitForSelector("details.route");
    await page.keyboard.press("/");
    await page.keyboard.type("heartbeats");
    expect(await page.locator("details.route:visible").count()).toBe(1);

    for (let presses = 0; presses < 5 && (await focused(page)) !== "SUMMARY"; presses += 1) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.waitForSelector("#heartbeats textarea");
    await page.keyboard.press("Tab");
    expect(await focused(page)).toBe("TEXTAREA");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("#heartbeats .status");
    expect(await status(page, "heartbeats")).toMatch(/^200 OK/);
  });

  it("can be read in a light and in a dark room, and on a telephone", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect(contrast(...(await colours(page)))).toBeGreaterThan(7);
    }
    await page.setViewportSize({ width: 360, height: 640 });
    const width = await page.locator("html").evaluate((html) => html.scrollWidth);
    expect(width).toBeLessThanOrEqual(360);
  });

  it("asks only this server, and meets no fault of its own", () => {
    expect(complaints).toEqual([]);
  });

  it("opens with a token as password, and sends the token that it is given", async () => {
    await using guarded = await Serving.start({ tokens: ["s3cret"] });
    // The browser asks its user for a password, who gives the token.
    const guardedPage = await context.newPage();
    await guardedPage.goto(`${guarded.url}/docs`);
    await guardedPage.waitForSelector("details.route");

    await send(guardedPage, "queues");
    expect(await status(guardedPage, "queues")).toMatch(/^401/);
    await guardedPage.fill("#token", "s3cret");
    await guardedPage.click("#queues button[type=submit]");
    await guardedPage.waitForSelector("#queues .status.good");
    expect(await guardedPage.textContent("#queues .curl")).toContain("-H 'Authorization: Bearer s3cret'");
  });
});

async function open(page: Page, route: string): Promise<void> {
  if ((await page.getAttribute(`#${route}`, "open")) === null) await page.click(`#${route} > summary`);
  await page.waitForSelector(`#${route} form`);
}

async function send(page: Page, route: string): Promise<void> {
  await open(page, route);
  await page.click(`#${route} button[type=submit]`);
  await page.waitForSelector(`#${route} .status`);
}

async function status(page: Page, route: string): Promise<string> {
  return (await page.textContent(`#${route} .status`)) ?? "";
}

// biome-ignore lint/suspicious/noExplicitAny: an answer is looked into, field by field.
async function answer(page: Page, route: string): Promise<any> {
  return JSON.parse((await page.textContent(`#${route} .body`)) ?? "");
}

function focused(page: Page): Promise<string> {
  return page.locator("html").evaluate((html) => html.ownerDocument.activeElement.tagName);
}

/** Those of the text and of the page behind it. */
function colours(page: Page): Promise<[string, string]> {
  return page.locator("body").evaluate((body) => {
    const { color, backgroundColor } = body.ownerDocument.defaultView.getComputedStyle(body);
    return [color, backgroundColor];
  });
}

/** Source: WCAG 2.2, "contrast ratio". */
function contrast(text: string, page: string): number {
  const [lighter = 0, darker = 0] = [luminance(text), luminance(page)].sort((a, b) => b - a);
  return (lighter + 0.05) / (darker + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = (colour.match(/\d+/g) ?? []).map((channel) => {
    const share = Number(channel) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
