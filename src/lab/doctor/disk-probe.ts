import { mkdtempSync, rmSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { EmbeddedStorage } from "../../storage/embedded/embedded-storage.ts";
import { NodeDisk } from "../../storage/embedded/node-disk.ts";
import { parseQueueName, type QueueName } from "../../task/ids.ts";
import { LatencyHistogram } from "../histogram.ts";
import { nowNs } from "../nano-clock.ts";
import { claimFindings, enqueueForClaims, timeStorageClaims } from "./claim-probe.ts";
import { type Finding, graded, shown } from "./finding.ts";

const QUEUE = parseQueueName("doctor") as QueueName;
/** As large as a page, and so about a commit of a few calls. */
const BYTES = 4_096;
const SYNCS_MAX = 200;
const SYNCING_MS = 1_000;
/** A background flush comes each half second; in `power` each answer waits for one. */
const SYNC_P50_MS = { yellow: 5, red: 50 } as const;
const SYNC_P99_MS = { yellow: 25, red: 250 } as const;
const GB = 1e9;

/** Writes into a folder of its own beside the journal, on the same disk, and removes it. */
export async function diskFindings(folder: string): Promise<Finding[]> {
  const room = await roomFinding(folder);
  let scratch: string;
  try {
    scratch = mkdtempSync(join(folder, "doctor-"));
  } catch (error) {
    return [room, notWritable(folder, error)];
  }
  const removed = () => rmSync(scratch, { recursive: true, force: true });
  process.once("exit", removed);
  try {
    return [room, ...(await syncFindings(folder, scratch)), ...(await claimsIn(folder, scratch))];
  } catch (error) {
    return [room, notWritable(folder, error)];
  } finally {
    removed();
    process.off("exit", removed);
  }
}

/** How long a flush takes: one after the other, each of a page that was appended. */
async function syncFindings(folder: string, scratch: string): Promise<Finding[]> {
  const histogram = new LatencyHistogram();
  const file = new NodeDisk(scratch).open("sync", { create: true });
  const end = performance.now() + SYNCING_MS;
  try {
    for (let n = 0; n < SYNCS_MAX && performance.now() < end; n += 1) {
      file.write(Buffer.alloc(BYTES, n), n * BYTES);
      const startedAt = nowNs();
      await file.sync();
      histogram.record(nowNs() - startedAt);
    }
  } finally {
    file.close();
  }
  const [p50, p99] = [histogram.percentileNs(50) / 1e6, histogram.percentileNs(99) / 1e6];
  const advice =
    "The disk is slow to keep what it is given: with durability power every answer waits for it, with process a stop of the machine costs what it had not kept; a local disk, or one with a cache that survives a power cut, is quicker";
  const figure = `${shown(p50, "ms")}, the median of ${histogram.count} (longest ${shown(histogram.maxNs / 1e6, "ms")})`;
  return [
    graded({ check: "disk sync", where: folder, value: p50, unit: "ms", ...SYNC_P50_MS, figure, advice }),
    graded({ check: "disk sync, P99", where: folder, value: p99, unit: "ms", ...SYNC_P99_MS, advice }),
  ];
}

async function claimsIn(folder: string, scratch: string): Promise<Finding[]> {
  const storage = await EmbeddedStorage.open({ folder: join(scratch, "store"), reserveBytes: 0 });
  try {
    await enqueueForClaims(storage, QUEUE);
    return claimFindings(folder, "claims of a store of its own", await timeStorageClaims(storage, QUEUE));
  } finally {
    await storage.close();
  }
}

async function roomFinding(folder: string): Promise<Finding> {
  const { bavail, blocks, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const colour = free < 0.1 * GB ? "red" : free < GB ? "yellow" : "green";
  return {
    check: "room on the disk",
    where: folder,
    colour,
    figure: `${shown(free, "bytes")} of ${shown(blocks * bsize, "bytes")} free`,
    bound: "1 GB, red below 100 MB",
    value: free,
    unit: "bytes",
    ...(colour !== "green" && {
      advice:
        "On a full disk new tasks are refused: make room, or keep less (dibs queues set --completed-max, --bytes-max)",
    }),
  };
}

function notWritable(folder: string, error: unknown): Finding {
  return {
    check: "disk sync",
    where: folder,
    colour: "red",
    figure: "failed",
    bound: "a folder that can be written",
    advice: `${(error as Error).message}. Run this command as the user that serves the folder`,
  };
}
