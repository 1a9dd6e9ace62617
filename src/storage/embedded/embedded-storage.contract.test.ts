import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { ManualClock } from "../../clock.ts";
import { type Opened, storageContract } from "../contract/storage-contract.ts";
import { EmbeddedStorage } from "./embedded-storage.ts";

storageContract(
  "embedded, in memory",
  { describe, it },
  async () => {
    const clock = new ManualClock();
    return { storage: await EmbeddedStorage.open({ durability: "none", clock }), clock };
  },
  { forgetful: "memory is all it has" },
);

for (const durability of ["process", "power"] as const)
  storageContract(`embedded, durability ${durability}`, { describe, it }, () => openFolder(durability));

async function openFolder(durability: "process" | "power"): Promise<Opened> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-contract-"));
  const clock = new ManualClock();
  const open = () => EmbeddedStorage.open({ folder, durability, clock });
  let storage = await open();
  return {
    storage,
    clock,
    reopen: async () => {
      await storage.close();
      storage = await open();
      return storage;
    },
    dispose: () => rm(folder, { recursive: true }),
  };
}
