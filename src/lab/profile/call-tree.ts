import type { CpuProfile } from "../cpu-profile.ts";
import type { AllocationNode, AllocationProfile } from "./allocation-sampler.ts";

/** What was called from where: a flame graph as data. Values are microseconds, or bytes. */
export interface CallTree {
  readonly name: string;
  /** File and line, short; "" for what is the engine's own. */
  readonly where: string;
  /** Of the function itself. */
  readonly self: number;
  /** With all that it called. */
  readonly total: number;
  readonly children: readonly CallTree[];
}

/** A function, over all places from which it was called. */
export interface HotFunction {
  readonly name: string;
  readonly where: string;
  readonly self: number;
  /** Of the whole, 0 to 1. */
  readonly share: number;
}

/** Without the time in which the process had nothing to do. */
export function cpuTree({ nodes, samples = [], timeDeltas = [] }: CpuProfile): CallTree {
  const selves = new Map<number, number>();
  samples.forEach((id, n) => {
    selves.set(id, (selves.get(id) ?? 0) + (timeDeltas[n] ?? 0));
  });
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const treeOf = (id: number): CallTree[] => {
    const node = byId.get(id);
    if (node === undefined || node.callFrame.functionName === "(idle)") return [];
    return [built(node.callFrame, selves.get(id) ?? 0, (node.children ?? []).flatMap(treeOf))];
  };
  return treeOf(nodes[0]?.id ?? -1)[0] ?? { name: "(root)", where: "", self: 0, total: 0, children: [] };
}

export function allocationTree({ head }: AllocationProfile): CallTree {
  const treeOf = (node: AllocationNode): CallTree =>
    built(node.callFrame, node.selfSize, node.children.map(treeOf));
  return treeOf(head);
}

export function hottest(tree: CallTree, count: number): HotFunction[] {
  const selves = new Map<string, { name: string; where: string; self: number }>();
  const visit = ({ name, where, self, children }: CallTree): void => {
    const key = `${name} ${where}`;
    const sum = selves.get(key) ?? { name, where, self: 0 };
    sum.self += self;
    selves.set(key, sum);
    children.forEach(visit);
  };
  visit(tree);
  return [...selves.values()]
    .filter(({ self }) => self > 0)
    .sort((a, b) => b.self - a.self)
    .slice(0, count)
    .map((hot) => ({ ...hot, share: hot.self / tree.total }));
}

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

function built(
  { functionName, url, lineNumber }: Frame,
  self: number,
  children: readonly CallTree[],
): CallTree {
  return {
    name: functionName || "(anonymous)",
    where: url === "" ? "" : `${shortOf(url)}:${lineNumber + 1}`,
    self,
    total: children.reduce((sum, { total }) => sum + total, self),
    children: [...children].filter(({ total }) => total > 0).sort((a, b) => b.total - a.total),
  };
}

/** `dist/broker/merger.js`, `fastify/lib/reply.js`, `node:net`: what tells files apart, and nothing of the machine. */
function shortOf(url: string): string {
  const path = url.replace(/^file:\/\//, "");
  const inModules = path.lastIndexOf("/node_modules/");
  if (inModules >= 0) return path.slice(inModules + "/node_modules/".length);
  return /(?:^|\/)((?:dist|src|test)\/.*)$/.exec(path)?.[1] ?? path.split("/").slice(-2).join("/");
}
