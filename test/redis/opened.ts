import type { Opened } from "../../src/storage/contract/storage-contract.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { OffsetClock } from "../../src/storage/redis/server-clock.ts";
import { freshPrefix } from "./servers/redis-url.ts";

/** Why the contract's tests of one exact millisecond are left out on every Redis. */
export const TIME_FLOWS = { timeFlows: "the server's time runs on" };

/** The engine over a namespace of its own on the server, or servers, of this address. */
export async function openedAt(url: string): Promise<Opened & { readonly storage: RedisStorage }> {
  const clock = new OffsetClock();
  const prefix = freshPrefix();
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
