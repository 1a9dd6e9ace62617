import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { NodeDisk } from "./node-disk.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dibs-disk-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Names of the folder's files that this process holds, removed ones too. */
function held(): string[] {
  return readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ""; // That of the listing itself.
      }
    })
    .filter((path) => path.startsWith(folder));
}

it.runIf(process.platform === "linux")("gives the handle of a removed file back", async () => {
  const disk = new NodeDisk(folder);
  const file = disk.open("segment", { create: true });
  file.write(Buffer.from("content"), 0);
  disk.remove("segment");
  expect(held()).toHaveLength(1);

  file.closeRemoved();

  await vi.waitUntil(() => held().length === 0);
});
