import type { Rung } from "../rung.ts";
import { TaskHashes } from "../task-hashes.ts";
import type { Command } from "../wire.ts";

const PAGE = 1_000;

/** What order costs when nothing keeps it: all tasks are looked at, for the most urgent one. */
export const scanAll: Rung = {
  name: "scan-all",
  what: "The same with the order that a queue promises: every task is looked at for the most urgent one, in pipelines of 1,000; one caller only, for it takes the server to itself",
  isSafe: false,
  isOrdered: true,
  batch: 1,
  callersMax: 1,
  over: "scan",
  open: (place) =>
    TaskHashes.open(place, [], (hashes, n) => ({
      async claim() {
        let [best, highest] = ["", -1];
        for await (const keys of hashes.pages(n, PAGE)) {
          const looks = keys.map((key): Command => ["HMGET", key, "status", "priority"]);
          const found = (await hashes.wire.pipeline(n, looks)) as [string | null, string | null][];
          found.forEach(([status, priority], at) => {
            if (status !== "pending" || Number(priority) <= highest) return;
            [best, highest] = [keys[at] as string, Number(priority)];
          });
        }
        if (best === "") return [];
        const [data] = await hashes.wire.pipeline(n, [
          ["HGET", best, "data"],
          ["HSET", best, "status", "claimed"],
        ]);
        return data === null ? [] : [hashes.idOf(best)];
      },
      complete: (ids) => hashes.complete(n, ids),
    })),
};
