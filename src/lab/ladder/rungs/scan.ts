import type { Rung } from "../rung.ts";
import { TaskHashes } from "../task-hashes.ts";

/** Where everybody begins: SCAN, look at each key, take the first that is pending. A look and a write are two calls. */
export const scan: Rung = {
  name: "scan",
  what: "SCAN for a pending task, HGET its status and its data, HSET it claimed: a round trip each",
  isSafe: false,
  isOrdered: false,
  batch: 1,
  open: (place) =>
    TaskHashes.open(place, [], (hashes, n) => ({
      async claim() {
        for await (const keys of hashes.pages(n)) {
          for (const key of keys) {
            if ((await hashes.wire.ask(n, "HGET", key, "status")) !== "pending") continue;
            const data = await hashes.wire.ask(n, "HGET", key, "data");
            if (data === null) continue; // Somebody else was quicker, and has finished it.
            await hashes.wire.ask(n, "HSET", key, "status", "claimed");
            return [hashes.idOf(key)];
          }
        }
        return [];
      },
      complete: (ids) => hashes.complete(n, ids),
    })),
};
