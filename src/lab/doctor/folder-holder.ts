import { resolve } from "node:path";
import { bootId, generationsIn, holderPath, readRecord } from "../../storage/embedded/lock-record.ts";
import { sight } from "../../storage/embedded/lock-socket.ts";
import { type Finding, judged } from "./finding.ts";

/** Who has a folder open, seen without taking its lock. */
export interface FolderHolder {
  readonly kind: "nobody" | "process" | "unknown";
  readonly pid?: number;
  /** Where it serves, when it serves. */
  readonly url?: string;
}

export async function folderHolder(folder: string): Promise<FolderHolder> {
  const place = resolve(folder, "lock");
  const generation = (await generationsIn(place)).at(-1);
  const record =
    generation === undefined ? undefined : (await readRecord(holderPath(place, generation)))?.record;
  if (record === undefined || record.released) return { kind: "nobody" };
  const who = { pid: record.pid, ...(record.url !== undefined && { url: record.url }) };
  if (!record.socket || record.boot !== bootId()) return { kind: "unknown", ...who };
  const sighting = await sight(place, record.nonce);
  if (sighting.kind === "alive") sighting.end();
  if (sighting.kind === "gone") return { kind: "nobody" };
  return { kind: sighting.kind === "alive" ? "process" : "unknown", ...who };
}

export function holderFinding(where: string, { kind, pid, url }: FolderHolder): Finding {
  const served = url === undefined ? "" : `, which serves ${url}`;
  const figures = {
    nobody: "nobody has it open",
    process: `process ${pid} has it open${served}`,
    unknown: `process ${pid} of another machine, or before a restart of this one${served}`,
  };
  return judged(kind === "unknown" ? "yellow" : "green", {
    check: "lock",
    where,
    figure: figures[kind],
    bound: "nobody, or a process of this machine",
    advice:
      "It cannot be seen from here whether that process lives: a start watches its counter for ten seconds and then takes over",
  });
}
