import { randomUUID } from "node:crypto";
import { afterAll, describe, it } from "vitest";
import { startRedis } from "../../../test/redis/servers/redis-server.ts";
import { type Opened, storageContract } from "../contract/storage-contract.ts";
import { RedisStorage } from "./redis-storage.ts";
import { OffsetClock } from "./server-clock.ts";

const server = await startRedis();
afterAll(() => server.stop());

const timeFlows = "the server's time runs on";

storageContract("Redis, standalone", { describe, it }, () => openAt(server.url), { timeFlows });

async function openAt(url: string): Promise<Opened> {
  const clock = new OffsetClock();
  const prefix = `test-${randomUUID()}`;
  const open = () => RedisStorage.open({ url, prefix, clockOffset: clock });
  let storage = await open();
  return {
    storage,
    clock,
    reopen: async () => {
      await storage.close();
      storage = await open();
      return storage;
    },
  };
}
