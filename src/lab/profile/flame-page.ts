import { element, type Markup, text } from "../chart/svg.ts";
import type { CallTree } from "./call-tree.ts";
import { FLAME_SCRIPT, FLAME_STYLE } from "./flame-script.ts";
import type { ProfileReport } from "./profile-report.ts";

/** What is a thousandth of a pixel wide only makes the page large. */
const SHARE_MIN = 0.0002;

/** A call tree as it stands in the page: name, place, self, children. */
type Packed = readonly [name: string, where: string, self: number, children: readonly Packed[]];

/**
 * The flame graphs of a profile as a page of its own: no network, all data within it. A frame's width is its share; a
 * click makes it the whole width, a text marks what contains it.
 */
export function flamePage(
  { engine, settings, environment }: Pick<ProfileReport, "engine" | "settings" | "environment">,
  { cpu, allocations }: { readonly cpu: CallTree; readonly allocations: CallTree },
): string {
  const where = `${engine.redisVersion ?? engine.store}, ${engine.transport === "http" ? "over HTTP: the server" : "in process"}`;
  const about = `${where}; ${settings.concurrency} callers, ${settings.depth} tasks deep; Dibs ${environment.dibs}, Node ${environment.node}, ${environment.cpuModel}`;
  const page = element(
    "html",
    { lang: "en" },
    element(
      "head",
      {},
      element("meta", { charset: "utf-8" }, text("")),
      element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }, text("")),
      element("title", {}, text("dibs profile claim")),
      element("style", {}, FLAME_STYLE as Markup),
    ),
    element(
      "body",
      {},
      element("h1", {}, text("dibs profile claim")),
      element("p", {}, text(about)),
      element("p", {}, text("Orange is Dibs, blue its packages, green Node, yellow the engine itself.")),
      element(
        "p",
        {},
        element(
          "label",
          {},
          text("Mark what contains "),
          element("input", { id: "search", type: "search" }, text("")),
        ),
        element("output", { id: "found" }, text("")),
      ),
      graph("cpu", "CPU: where the process was at work", "µs", cpu),
      graph("allocations", "Allocations: who made what the collector has to take away", "B", allocations),
      element("script", {}, FLAME_SCRIPT as Markup),
    ),
  );
  return `<!doctype html>\n${page.replaceAll(/<\/(meta|input)>/g, "")}\n`;
}

function graph(id: string, title: string, unit: "µs" | "B", tree: CallTree): Markup {
  return element(
    "section",
    { id, "data-unit": unit },
    element("h2", {}, text(title)),
    element("p", { class: "said", role: "status" }, text("")),
    element("div", { class: "flames" }, text("")),
    element("script", { type: "application/json" }, packedJson(tree)),
  );
}

/** `<` is written so that nothing in it can end the element. */
function packedJson(tree: CallTree): Markup {
  const json = JSON.stringify(packed(tree, tree.total * SHARE_MIN));
  return json.replaceAll("<", "\\u003c") as Markup;
}

/** What is too narrow to be seen is counted as its caller's own. */
function packed({ name, where, self, children }: CallTree, least: number): Packed {
  const shown = children.filter(({ total }) => total >= least);
  const hidden = children.reduce((sum, { total }) => sum + (total < least ? total : 0), 0);
  return [name, where, Math.round(self + hidden), shown.map((child) => packed(child, least))];
}
