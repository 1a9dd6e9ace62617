/** The style and the script of the page of flame graphs: as they stand in it. */
export const FLAME_STYLE = `
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fdfdfb; --line: #fdfdfb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --paper: #191a1c; --line: #191a1c; } }
body { font: 14px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 1.5rem 0 .2rem; } p { margin: .2rem 0 .5rem; }
input { font: inherit; padding: .1rem .4rem; } output { margin-left: .8rem; }
.said { min-height: 1.4em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.flames { position: relative; }
.flames button { position: absolute; height: 18px; padding: 0; text-indent: 3px; border: 0; border-right: 1px solid var(--line);
  border-bottom: 1px solid var(--line); font: 11px/17px system-ui, sans-serif; color: #1c1c1c; text-align: left;
  overflow: hidden; white-space: nowrap; text-overflow: clip; cursor: pointer; border-radius: 0; }
.flames button:hover, .flames button:focus-visible { outline: 2px solid var(--ink); outline-offset: -2px; }
.flames button.found { background: #c06be8 !important; }
`;

export const FLAME_SCRIPT = `
"use strict";
const HUES = { dist: 28, src: 28, test: 200, node: 95 };
const hueOf = (where) => where === "" ? 55 : HUES[where.split(/[:/]/)[0]] ?? 210;
const shown = (value, unit) => unit === "B"
  ? value >= 1e6 ? (value / 1e6).toFixed(1) + " MB" : value >= 1e3 ? (value / 1e3).toFixed(1) + " kB" : value + " B"
  : value >= 1e6 ? (value / 1e6).toFixed(2) + " s" : value >= 1e3 ? (value / 1e3).toFixed(1) + " ms" : value + " µs";
const treeOf = ([name, where, self, children], parent) => {
  const frame = { name, where, self, parent, children: [] };
  frame.children = children.map((child) => treeOf(child, frame));
  frame.total = frame.children.reduce((sum, child) => sum + child.total, self);
  return frame;
};
const graphs = [...document.querySelectorAll("section")].map((section) => {
  const root = treeOf(JSON.parse(section.querySelector("script").textContent));
  const [said, flames, unit] = [section.querySelector(".said"), section.querySelector(".flames"), section.dataset.unit];
  let whole = root;
  let searched = "";
  const say = (frame) => {
    const share = (100 * frame.total / root.total).toFixed(2);
    said.textContent = frame.name + (frame.where && " (" + frame.where + ")") + ": " + shown(frame.total, unit) + ", "
      + share + " %, of it itself " + shown(frame.self, unit);
  };
  const place = (frame, left, width, depth) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = width > 14 ? frame.name : "";
    button.title = frame.name + " " + frame.where;
    button.style.cssText = "left:" + left + "px;top:" + 18 * depth + "px;width:" + width + "px;background:hsl("
      + hueOf(frame.where) + " 75% " + (68 + (frame.name.length * 7) % 12) + "%)";
    if (searched !== "" && (frame.name + " " + frame.where).toLowerCase().includes(searched)) button.className = "found";
    button.onmouseenter = button.onfocus = () => say(frame);
    button.onclick = () => { whole = frame; draw(); };
    flames.append(button);
  };
  const draw = () => {
    flames.replaceChildren();
    const path = [];
    for (let above = whole.parent; above; above = above.parent) path.unshift(above);
    const full = flames.clientWidth;
    path.forEach((frame, depth) => place(frame, 0, full, depth));
    let deepest = path.length;
    const visit = (frame, left, depth) => {
      const width = full * frame.total / whole.total;
      if (width < 0.7) return;
      place(frame, left, width, depth);
      deepest = Math.max(deepest, depth);
      for (const child of frame.children) {
        visit(child, left, depth + 1);
        left += full * child.total / whole.total;
      }
    };
    visit(whole, 0, path.length);
    flames.style.height = 18 * (deepest + 1) + "px";
    say(whole);
  };
  // What is marked within what is marked counts once.
  const shareOf = (frame) => (frame.name + " " + frame.where).toLowerCase().includes(searched) ? frame.total
    : frame.children.reduce((sum, child) => sum + shareOf(child), 0);
  draw();
  return { draw, search: (text) => { searched = text; draw(); return text === "" ? 0 : shareOf(root) / root.total; },
    title: section.id };
});
addEventListener("resize", () => graphs.forEach(({ draw }) => draw()));
document.getElementById("search").oninput = ({ target }) => {
  const text = target.value.trim().toLowerCase();
  const shares = graphs.map((graph) => [graph.title, graph.search(text)]);
  document.getElementById("found").textContent = text === "" ? ""
    : shares.map(([title, share]) => title + " " + (100 * share).toFixed(1) + " %").join(", ");
};
`;
